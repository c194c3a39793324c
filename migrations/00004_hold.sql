-- +goose Up

-- Changes that wait until a person lets them go on: a transaction by the position
-- of its commit, or a load of a table. One that was resumed stays until nothing
-- can read it again.
CREATE TABLE hold (
    digest     text        PRIMARY KEY,
    position   pg_lsn      NOT NULL,
    backfill   bigint      NOT NULL,
    records    bigint      NOT NULL,
    partial    boolean     NOT NULL,
    samples    text        NOT NULL,
    held_at    timestamptz NOT NULL DEFAULT now(),
    resumed_at timestamptz
);

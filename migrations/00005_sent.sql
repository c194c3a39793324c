-- +goose Up

-- Rows of chunks that were written ahead as sent and are not settled, packed: per
-- row the lengths and texts of its record's key and of its own. What an instance
-- finds here when it starts was left by one that was killed: what the CRM holds of
-- those records is not known.
CREATE TABLE sent (
    backfill bigint  NOT NULL,
    chunk    integer NOT NULL,
    table_name text  NOT NULL,
    object   text    NOT NULL,
    match    text    NOT NULL,
    rows     bytea   NOT NULL,
    PRIMARY KEY (backfill, chunk)
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

-- Which call a record was last delivered in, and how many milliseconds after its
-- commit; -1 where that is not known.
ALTER TABLE record ADD COLUMN batch integer NOT NULL DEFAULT 0, ADD COLUMN latency integer NOT NULL DEFAULT -1;

-- The last calls, and how HubSpot's support finds them. As many as a hundred
-- records stand behind one of these.
CREATE TABLE batch (
    id          integer     PRIMARY KEY,
    correlation text        NOT NULL,
    answered_at timestamptz NOT NULL
);

ALTER TABLE state ADD COLUMN batches integer NOT NULL DEFAULT 0;

-- The rows of other tables than record.source that a record was delivered from,
-- the last one of each. There are none where a single table feeds a record.
CREATE TABLE feeder (
    target  smallint NOT NULL,
    source  smallint NOT NULL,
    key     bytea    NOT NULL,
    row_key bytea    NOT NULL,
    PRIMARY KEY (target, key, source)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX feeder_row ON feeder (source, row_key);

-- +goose Up

-- Whose state this is, and the key of all fingerprints in it. One row, written
-- at starts only.
CREATE TABLE owner (
    singleton        boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    fingerprint_key  bytea       NOT NULL CHECK (octet_length(fingerprint_key) = 16),
    system_id        text        NOT NULL,
    timeline         integer     NOT NULL,
    database         text        NOT NULL,
    slot             text        NOT NULL,
    publication      text        NOT NULL,
    publication_hash text        NOT NULL,
    mapping_hash     text        NOT NULL,
    portal_id        text        NOT NULL,
    started_at       timestamptz NOT NULL DEFAULT now()
);

-- How far the log is accounted for, the send-ahead bound, and the fence. One
-- row, written by every settle, therefore narrow, and alone on its page with
-- room for its next versions.
CREATE TABLE state (
    singleton      boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch          bigint      NOT NULL,
    checkpoint     pg_lsn      NOT NULL,
    bound          pg_lsn      NOT NULL,
    ordinals_since pg_lsn      NOT NULL,
    clean          boolean     NOT NULL,
    saved_at       timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);

-- Names are written once and stand in the large tables as two bytes.
CREATE TABLE target (
    id     smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object text     NOT NULL,
    match  text     NOT NULL,
    UNIQUE (object, match)
);

CREATE TABLE property (
    target smallint NOT NULL REFERENCES target,
    id     integer  NOT NULL CHECK (id >= 0),
    name   text     NOT NULL,
    PRIMARY KEY (target, id),
    UNIQUE (target, name)
);

-- A mapping of a table onto a target; hash is of the mapping as it was when its
-- rows were last loaded, NULL before the first load was asked for.
CREATE TABLE source (
    id         smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target     smallint NOT NULL REFERENCES target,
    table_name text     NOT NULL,
    hash       text,
    UNIQUE (target, table_name)
);

-- What the CRM is known to hold. Keys are bytes, so that any encoding and any
-- collation of the database will do; read them with convert_from(key, 'UTF8').
-- A key longer than the index takes stands as a zero byte and its SHA-256.
-- row_key is empty where it equals key, crm_id while it is unknown, and
-- delivered_at is -infinity before the first delivery: without a NULL a row is
-- eight bytes shorter.
-- facts: per property a varint of (distance to the id before, unknown?), and
-- for a known value the eight bytes of its fingerprint.
-- No update changes an indexed column, and every page keeps room for the new
-- versions of its rows: updates are HOT.
CREATE TABLE record (
    lsn          pg_lsn      NOT NULL,
    delivered_at timestamptz NOT NULL,
    ordinal      integer     NOT NULL,
    target       smallint    NOT NULL,
    source       smallint    NOT NULL,
    key          bytea       NOT NULL,
    row_key      bytea       NOT NULL,
    crm_id       bytea       NOT NULL,
    facts        bytea       NOT NULL,
    PRIMARY KEY (target, key)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1);

ALTER TABLE record ALTER COLUMN facts SET STORAGE EXTERNAL;

CREATE INDEX record_row ON record (source, row_key) WHERE row_key <> '';

-- What could not be delivered: per record and property, or with property -1 for
-- the record as a whole, which then owes the properties in owed. A row without
-- a key has its row's key as name and its source as scope; else scope is 0.
CREATE TABLE letter (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target      smallint    NOT NULL,
    scope       smallint    NOT NULL,
    name        bytea       NOT NULL,
    property    integer     NOT NULL,
    source      smallint    NOT NULL,
    key         bytea       NOT NULL,
    row_key     bytea       NOT NULL,
    row_name    bytea       NOT NULL,
    lsn         pg_lsn      NOT NULL,
    ordinal     integer     NOT NULL,
    owed        integer[]   NOT NULL,
    category    text        NOT NULL,
    reason      text        NOT NULL,
    correlation text        NOT NULL,
    attempts    integer     NOT NULL,
    first_seen  timestamptz NOT NULL,
    last_seen   timestamptz NOT NULL,
    UNIQUE (target, scope, name, property)
) WITH (fillfactor = 80);

CREATE INDEX letter_row ON letter (source, row_name);

-- Loads of existing rows, asked for by the first run, by a changed mapping, by
-- a person, or by a retry. sent_to is written before a chunk is queued, done_to
-- in the settle of its last row.
CREATE TABLE backfill (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name   text        NOT NULL,
    object       text        NOT NULL,
    match        text        NOT NULL,
    reason       text        NOT NULL,
    condition    text        NOT NULL DEFAULT '',
    keys         text[],
    properties   text[],
    state        text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'cancelled', 'failed')),
    message      text        NOT NULL DEFAULT '',
    sent_to      text[],
    done_to      text[],
    rows         bigint      NOT NULL DEFAULT 0,
    estimate     bigint      NOT NULL DEFAULT 0,
    requested_at timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz
) WITH (fillfactor = 50);

CREATE INDEX backfill_open ON backfill (id) WHERE state IN ('waiting', 'running');

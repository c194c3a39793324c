-- +goose Up

-- The match value that the request had: another row's record may have it by the
-- time that the request takes effect.
ALTER TABLE doubt ADD COLUMN key bytea NOT NULL DEFAULT '';
ALTER TABLE doubt DROP CONSTRAINT doubt_pkey;
ALTER TABLE doubt ADD PRIMARY KEY (source, row_key, key);

-- +goose Up

-- How the table of a source was published when that was last looked at; NULL
-- before the first look. Where it is published anew, changes in between were not
-- in the stream, and its rows are owed by a load.
ALTER TABLE source ADD COLUMN published text;

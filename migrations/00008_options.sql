-- +goose Up

-- A hash of the options of the properties that a source writes, as they were when
-- that was last looked at; NULL before the first look. Where they are others,
-- values that were parked for want of an option are tried again.
ALTER TABLE source ADD COLUMN options text;

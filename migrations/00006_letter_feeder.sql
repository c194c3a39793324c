-- +goose Up

-- The rows that a letter about a whole record is of, the last one of each table,
-- where several tables feed one record: when it is tried again, all are read.
CREATE TABLE letter_feeder (
    letter  bigint   NOT NULL REFERENCES letter ON DELETE CASCADE,
    source  smallint NOT NULL,
    row_key bytea    NOT NULL,
    PRIMARY KEY (letter, source)
);

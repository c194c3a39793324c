-- +goose Up

-- Rows whose records an unanswered request may still change, and until when.
-- After that they are read and sent once more.
CREATE TABLE doubt (
    source  smallint    NOT NULL,
    row_key text        NOT NULL,
    until   timestamptz NOT NULL,
    PRIMARY KEY (source, row_key)
) WITH (fillfactor = 80);

CREATE INDEX doubt_until ON doubt (until);

CREATE TABLE accounts (
	id         bigint PRIMARY KEY,
	name       text NOT NULL,
	deleted_at timestamptz
);
CREATE TABLE leads (
	id    bigint PRIMARY KEY,
	email text NOT NULL,
	spam  boolean NOT NULL DEFAULT false
);
INSERT INTO accounts VALUES (1, 'Acme', NULL), (2, 'Borealis', NULL), (3, 'Gone before', '2025-01-01');
INSERT INTO leads VALUES (1, 'ada@example.com', false), (2, 'win@example.net', false);

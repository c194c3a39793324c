CREATE SCHEMA billing;
CREATE TABLE accounts (id uuid PRIMARY KEY, name text NOT NULL, tags text[] NOT NULL DEFAULT '{}');
CREATE TABLE billing.subscriptions (
	id         bigint PRIMARY KEY,
	account_id uuid NOT NULL UNIQUE REFERENCES accounts,
	mrr        numeric(12,2) NOT NULL,
	status     text NOT NULL
);
CREATE TABLE users (
	id         bigint PRIMARY KEY,
	account_id uuid NOT NULL REFERENCES accounts,
	email      text NOT NULL,
	full_name  text,
	settings   jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO accounts VALUES ('0b8f2a52-6f0e-4f0c-9a55-1d2f6f3e7a01', 'Acme', '{beta,eu}');
INSERT INTO billing.subscriptions VALUES (10, '0b8f2a52-6f0e-4f0c-9a55-1d2f6f3e7a01', 149.50, 'active');
INSERT INTO users VALUES (100, '0b8f2a52-6f0e-4f0c-9a55-1d2f6f3e7a01', 'ada@acme.example', 'Ada Nguyen', '{"locale": "nb", "newsletter": true}');

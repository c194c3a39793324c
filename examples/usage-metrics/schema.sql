CREATE TABLE usage (
	account_id   bigint PRIMARY KEY,
	events_30d   bigint NOT NULL DEFAULT 0,
	active_users integer NOT NULL DEFAULT 0,
	seats        integer NOT NULL DEFAULT 1,
	last_seen_at timestamptz,
	error_rate   double precision
);
INSERT INTO usage VALUES (1, 104233, 9, 12, '2026-03-01 10:15:30+00', 0.013), (2, 0, 0, 1, NULL, NULL);

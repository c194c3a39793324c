-- The first two change nothing that is mapped, and cost no call.
UPDATE usage SET events_30d = events_30d + 1, last_seen_at = last_seen_at + interval '1 second' WHERE account_id = 1;
UPDATE usage SET events_30d = events_30d + 1, last_seen_at = last_seen_at + interval '1 second' WHERE account_id = 1;
UPDATE usage SET error_rate = 0.2 WHERE account_id = 1;
UPDATE usage SET events_30d = 1, active_users = 1, last_seen_at = '2026-03-02 00:00:01+00' WHERE account_id = 2;

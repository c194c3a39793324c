-- What an application might do, twice a second, for the demo in containers.
DO $$
DECLARE
	account bigint := (SELECT id FROM accounts ORDER BY random() LIMIT 1);
BEGIN
	CASE floor(random() * 8)::int
	WHEN 0 THEN
		UPDATE accounts SET plan = (ARRAY['free', 'team', 'enterprise'])[1 + floor(random() * 3)::int] WHERE id = account;
	WHEN 1 THEN
		UPDATE accounts SET active = NOT active WHERE id = account;
	WHEN 2 THEN
		UPDATE accounts SET notes = CASE WHEN notes IS NULL THEN 'Asked for a demo of the API.' END WHERE id = account;
	WHEN 3 THEN
		UPDATE subscriptions SET mrr = mrr + 10 + floor(random() * 90)::int, status = 'active' WHERE account_id = account;
	WHEN 4 THEN
		UPDATE users SET role = CASE role WHEN 'owner' THEN 'member' ELSE 'owner' END
		WHERE id = (SELECT id FROM users ORDER BY random() LIMIT 1);
	WHEN 5 THEN -- not mapped: costs no call
		UPDATE accounts SET last_seen_at = now() WHERE id = account;
	WHEN 6 THEN
		INSERT INTO accounts (name, website, plan, seats)
		VALUES ('Newcomer ' || floor(random() * 1e6)::int, 'newcomer' || floor(random() * 1e6)::int || '.example.com', 'team', 5);
	ELSE
		UPDATE accounts SET seats = greatest(1, seats + floor(random() * 21)::int - 10) WHERE id = account;
	END CASE;
END
$$ \watch 0.5

UPDATE accounts SET deleted_at = now() WHERE id IN (1, 2);
UPDATE leads SET spam = true WHERE id = 2;
-- next transaction
UPDATE accounts SET deleted_at = NULL, name = 'Borealis is back' WHERE id = 2;

UPDATE accounts SET plan = 'ent', mrr_cents = 49905, seats = 40 WHERE id = 1;
UPDATE accounts SET website = 'http://borealis.example' WHERE id = 2;
INSERT INTO accounts (id, company_name, plan) VALUES (3, 'Cobalt Robotics', 'free');

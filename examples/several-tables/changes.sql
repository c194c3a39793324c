UPDATE accounts SET tags = '{us}';
UPDATE billing.subscriptions SET mrr = 199, status = 'past_due';
UPDATE users SET settings = '{}';

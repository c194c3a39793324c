UPDATE customers SET hubspot_id = 9000000002 WHERE customer_no = 'C-002';
UPDATE customers SET city = NULL WHERE customer_no = 'C-001';

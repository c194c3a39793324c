CREATE TABLE customers (
	customer_no text PRIMARY KEY,
	name        text NOT NULL,
	city        text,
	hubspot_id  bigint UNIQUE -- filled in by the billing system
);
INSERT INTO customers VALUES ('C-001', 'Acme', 'Oslo', 9000000001), ('C-002', 'Borealis', 'Bergen', NULL);

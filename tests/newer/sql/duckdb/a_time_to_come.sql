-- As PostgreSQL's. DuckDB adds no column that has to be filled, and an index would be rewritten at each checkpoint.
ALTER TABLE customers ADD COLUMN region VARCHAR DEFAULT 'nowhere';
UPDATE customers SET region = 'EU' WHERE plan_tier = 'growth';

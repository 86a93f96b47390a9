-- What a migration may do: a column with what is there already, another index, and rows that change.
ALTER TABLE customers ADD COLUMN region TEXT NOT NULL DEFAULT 'nowhere';
UPDATE customers SET region = 'EU' WHERE plan_tier = 'growth';
CREATE INDEX customers_region ON customers (region);

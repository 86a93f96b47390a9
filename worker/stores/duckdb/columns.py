"""The columns by which DuckDB's rows are read."""

# The amount comes as text: the driver takes seven times as long to make a Decimal as Python does.
CUSTOMER_COLUMNS = "customer_id::VARCHAR, industry, plan_tier, signup_date, mrr::VARCHAR, churn_date"
PARKED_COLUMNS = 'customer_id::VARCHAR, topic, partition, "offset", timestamp_ms, key, value, headers'

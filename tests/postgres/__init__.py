"""PostgreSQL for tests and benchmarks, as `tests/kafka` has Kafka."""

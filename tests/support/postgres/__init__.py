"""PostgreSQL for tests and benchmarks."""

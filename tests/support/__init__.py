"""Real services, processes and records for the tests, the fault runs and the benchmarks."""

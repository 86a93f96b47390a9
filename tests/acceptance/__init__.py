"""Acceptance tests: the whole worker as a real process on a real Kafka, compared with an independent oracle."""

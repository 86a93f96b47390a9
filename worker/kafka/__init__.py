"""Clients of Kafka by one set of settings."""

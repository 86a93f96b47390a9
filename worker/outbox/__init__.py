"""Kafka out: the transactional outbox."""

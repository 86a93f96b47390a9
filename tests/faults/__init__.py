"""Exactly once, proven: the real worker under load on a three-broker Kafka that is hurt in every way it can be."""

"""Prometheus as the judge of the alert rules."""

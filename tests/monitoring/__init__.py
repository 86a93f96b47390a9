"""Tests of the alert rules with Prometheus's own tool."""

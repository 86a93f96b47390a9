"""Monitoring of the worker: health, gauges, and alert rules for Prometheus."""

from __future__ import annotations

from importlib.resources import files


def alert_rules() -> str:
    """Return the rules as YAML."""
    return files(__name__).joinpath("alerts.yaml").read_text()

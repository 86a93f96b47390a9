"""Monitoring of the worker: health, gauges, and alert rules for Prometheus."""

from __future__ import annotations

from importlib.resources import files

RUNBOOK = "https://customer-worker.example/docs/operating.md"
"""Address of docs/operating.md, which has a section for each alert."""


def alert_rules(runbook: str = RUNBOOK) -> str:
    """Return the rules as YAML, with links to the sections of this document."""
    return files(__name__).joinpath("alerts.yaml").read_text().replace(RUNBOOK, runbook)

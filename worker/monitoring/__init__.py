"""What others watch the worker by: its alert rules for Prometheus."""

from __future__ import annotations

from importlib.resources import files


def alert_rules() -> str:
    """The rules as YAML, with comments."""
    return files(__name__).joinpath("alerts.yaml").read_text()

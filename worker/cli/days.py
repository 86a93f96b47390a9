"""Days on the command line, and the period from one to another."""

from __future__ import annotations

from datetime import date, datetime

import typer


def parse_day(text: str) -> date:
    """Parse a day. Raises `typer.BadParameter`."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise typer.BadParameter("a day is YYYY-MM-DD") from None


def require_order(since: date | None, until: date | None) -> None:
    """Raise `typer.BadParameter` if the period ends before it begins."""
    if since is not None and until is not None and since > until:
        raise typer.BadParameter("--from is after --to")

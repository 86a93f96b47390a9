"""`customer-worker churn`: customers and ARR lost, by month, industry or plan tier."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from worker.cli.churn_report import print_report
from worker.cli.days import parse_day, require_order
from worker.cli.shared import AsJson, run_async
from worker.queries.churn_groups import CHURN_GROUPS, ChurnGroupsQuery
from worker.queries.client import run_query
from worker.settings import Settings
from worker.stores.churn_groups import GroupBy


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("churn")(churn)


def churn(
    by: Annotated[
        GroupBy, typer.Option("--by", metavar="|".join(GroupBy), help="Attribute to group by.")
    ] = GroupBy.MONTH,
    since: Annotated[
        date | None, typer.Option("--from", parser=parse_day, metavar="DAY", help="The first churn date.")
    ] = None,
    until: Annotated[
        date | None, typer.Option("--to", parser=parse_day, metavar="DAY", help="The last churn date.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how many customers churned, the ARR lost with them, and the share of early-stage customers among them.

    Early stage: within the first 90 days after the signup. On a terminal, bars show the ARR lost.

    Example: customer-worker churn --by plan_tier --from 2026-01-01 --to 2026-06-30
    """
    require_order(since, until)
    query = ChurnGroupsQuery(by, since, until)
    settings = Settings.read()
    groups = run_async(lambda: run_query(settings, CHURN_GROUPS, query))
    print_report(query, groups, as_json=as_json)

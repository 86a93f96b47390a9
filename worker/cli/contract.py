"""`customer-worker contract`: print the contract as documents, and compare them with those of an earlier version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.shared import AsJson, print_line
from worker.errors import Exit
from worker.messages import schemas as json_schemas
from worker.messages.asyncapi import asyncapi
from worker.messages.compatibility import find_breaks
from worker.monitoring import RUNBOOK, alert_rules
from worker.monitoring.dashboard import dashboard
from worker.settings import Settings

contract = typer.Typer(help="Print the contract as documents, or check its compatibility.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(contract, name="contract")


@contract.command("asyncapi")
def show_asyncapi() -> None:
    """Print the AsyncAPI document of the topics and their messages.

    Example: customer-worker contract asyncapi > asyncapi.json
    """
    print(json.dumps(asyncapi(Settings.read()), indent=2))


@contract.command("schemas")
def show_schemas() -> None:
    """Print the JSON Schema of each message.

    Example: customer-worker contract schemas | jq .signup
    """
    print(json.dumps({name: json_schemas.schema(name) for name in json_schemas.MESSAGES}, indent=2))


@contract.command("alerts")
def show_alerts(
    runbook: Annotated[
        str,
        typer.Option("--runbook", metavar="URL", help="Address of docs/operating.md, for the links of the alerts."),
    ] = RUNBOOK,
) -> None:
    """Print the alert rules for Prometheus, in the format of its rule_files.

    Each alert has a link to its section of the runbook, as annotation `runbook_url`.

    Example: customer-worker contract alerts > customer-worker-alerts.yaml
    """
    print(alert_rules(runbook), end="")


@contract.command("dashboard")
def show_dashboard() -> None:
    """Print the Grafana dashboard, for the import of Grafana or its provisioning.

    Example: customer-worker contract dashboard > customer-worker-dashboard.json
    """
    print(json.dumps(dashboard(), indent=2))


@contract.command("check")
def check_compatibility(
    old: Annotated[
        Path,
        typer.Argument(
            metavar="OLD.json",
            exists=True,
            dir_okay=False,
            help="AsyncAPI document that an earlier version printed.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check that the contract is compatible with that of an earlier version.

    Print each change that breaks producers or subscribers. Exit 1 if there is one. A changed pattern counts as a break,
    because its effect cannot be computed.

    Example: customer-worker contract check docs/contract/asyncapi.json
    """
    try:
        found = find_breaks(_read(old), asyncapi(Settings.read()))
    except ValueError as error:
        raise typer.BadParameter(f"{old}: {error}", param_hint="OLD.json") from None
    if as_json:
        print(json.dumps([each._asdict() for each in found]))
    else:
        for each in found:
            print_line(str(each))
        print_line(f"{len(found)} incompatible changes" if found else "compatible")
    if found:
        raise typer.Exit(Exit.NO)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError("not JSON") from None

"""`customer-worker contract`: print the contract as documents."""

from __future__ import annotations

import json

import typer

from worker.monitoring import alert_rules
from worker.settings import Settings

contract = typer.Typer(help="Print the contract as documents.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(contract, name="contract")


@contract.command("asyncapi")
def show_asyncapi() -> None:
    """Print the AsyncAPI document of the topics and their messages.

    Example: customer-worker contract asyncapi > asyncapi.json
    """
    from worker.messages import schemas as documents  # noqa: PLC0415 - loads FastStream

    print(json.dumps(documents.asyncapi(Settings.read().topics), indent=2))


@contract.command("schemas")
def show_schemas() -> None:
    """Print the JSON Schema of each message.

    Example: customer-worker contract schemas | jq .signup
    """
    from worker.messages import schemas as documents  # noqa: PLC0415 - loads FastStream

    print(json.dumps({name: documents.schema(name) for name in documents.MESSAGES}, indent=2))


@contract.command("alerts")
def show_alerts() -> None:
    """Print the alert rules for Prometheus, in the format of its rule_files.

    Example: customer-worker contract alerts > customer-worker-alerts.yaml
    """
    print(alert_rules(), end="")

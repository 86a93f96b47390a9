"""`customer-worker topics`: the topics that the worker reads and writes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from worker import kafka
from worker.commands.shared import AsJson, console, run_async
from worker.settings import Settings

topics = typer.Typer(help="The Kafka topics the worker needs.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(topics, name="topics")


@topics.command("create")
def create_topics(
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic.")] = 8,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Create the topics that do not exist yet, with the configuration that exactly-once needs.

    Example: customer-worker topics create --partitions 8 --replication 3
    """
    settings = Settings.read()
    created = run_async(lambda: kafka.create_topics(settings, partitions, replication))
    if as_json:
        print(json.dumps(created))
        return
    for name, is_new in created.items():
        console.print(f"{name}: {'created' if is_new else 'exists'}", highlight=False)

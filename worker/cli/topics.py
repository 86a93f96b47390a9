"""`customer-worker topics`: create the topics, print the commands that grant rights on them."""

from __future__ import annotations

import json
import re
from typing import Annotated

import typer

from worker.cli.shared import AsJson, print_line, run_async
from worker.errors import Exit
from worker.kafka.rights import granting, printed_rights
from worker.kafka.topic_setup import SetUp, set_up_topics
from worker.settings import Settings

topics = typer.Typer(help="Create the Kafka topics, and print the rights that the worker needs.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(topics, name="topics")


@topics.command("create")
def create_topics(
    partitions: Annotated[int, typer.Option(min=1, metavar="COUNT", help="Number of partitions of new topics.")] = 8,
    replication: Annotated[int, typer.Option(min=1, metavar="COUNT", help="Replication factor of new topics.")] = 1,
    execute: Annotated[
        bool, typer.Option("--execute", help="Alter existing topics with another configuration.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create missing topics with the configuration required for exactly-once.

    Print differences in the configuration of existing topics; with --execute, alter them. Exit 1 if differences
    remain.

    Example: customer-worker topics create --partitions 8 --replication 3
    """
    settings = Settings.read()
    done = run_async(lambda: set_up_topics(settings, partitions, replication, is_executed=execute))
    _print_json(done, execute) if as_json else _print_lines(done, execute)
    if done.differences and not execute:
        raise typer.Exit(Exit.NO)


def _principal(text: str) -> str:
    """Return a principal in Kafka's form. Raises `typer.BadParameter`."""
    if not re.fullmatch(r"[A-Za-z]\w*:.+", text):
        raise typer.BadParameter("it is TYPE:NAME, such as User:worker")
    return text


@topics.command("acls")
def print_acls(
    principal: Annotated[
        str, typer.Option(parser=_principal, metavar="User:NAME", help="The principal of the worker in Kafka.")
    ],
    redrive: Annotated[bool, typer.Option("--redrive", help="Also grant what `dead-letters redrive` needs.")] = False,
) -> None:
    """Print the kafka-acls.sh commands that grant the worker the least rights it needs, and `check` the rest.

    Nothing is changed: an administrator of the cluster runs the commands. The names are those of the settings.

    Example: customer-worker topics acls --principal User:worker
    """
    settings = Settings.read()
    for command in granting(settings.kafka, printed_rights(settings, for_redrive=redrive), principal):
        print(command)


def _print_json(done: SetUp, is_altered: bool) -> None:
    differences = [
        {
            "topic": each.topic,
            "setting": each.setting,
            "actual": each.actual,
            "needed": each.value,
            "altered": is_altered,
        }
        for each in done.differences
    ]
    print(json.dumps(done.created | {"differences": differences}))


def _print_lines(done: SetUp, is_altered: bool) -> None:
    for name, is_new in done.created.items():
        hidden = ", configuration not visible: grant DESCRIBE_CONFIGS on it" if name in done.hidden else ""
        print_line(f"{name}: {'created' if is_new else 'exists'}{hidden}")
        for each in done.differences:
            if each.topic == name:
                change = f"{each.setting} {'altered' if is_altered else 'to alter'}: {each.actual} to {each.value}"
                print_line(f"  {change} ({each.risk})")
    if done.differences and not is_altered:
        print_line("Run this again with --execute to alter the existing topics.")

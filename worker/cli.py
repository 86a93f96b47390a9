"""The command line, `customer-worker`: commands are thin, what they do is elsewhere."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from typing import Annotated

import typer
from rich.table import Table

from worker import __version__, checks, kafka
from worker.checks import Check
from worker.commands import dead_letters, explain, parked, reconcile, replay, status, store
from worker.commands.shared import AsJson, console, errors, run_async
from worker.composition import check_store
from worker.monitoring import alert_rules
from worker.settings import Settings, SettingsError
from worker.stopping import Exit, Refusal

app = typer.Typer(
    name="customer-worker",
    help="Kafka in, customers kept, customer.churned out, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
topics = typer.Typer(help="The Kafka topics the worker needs.", no_args_is_help=True)
config = typer.Typer(help="The settings.", no_args_is_help=True)
app.add_typer(topics, name="topics")
contract = typer.Typer(help="The contract as documents.", no_args_is_help=True)
app.add_typer(config, name="config")
app.add_typer(contract, name="contract")
status.register(app)
explain.register(app)
parked.register(app)
dead_letters.register(app)
reconcile.register(app)
replay.register(app)
store.register(app)


def main() -> None:
    """Run the command line; errors people can mend end in one sentence and an exit code, not in a traceback."""
    logging.getLogger().addHandler(logging.NullHandler())  # what a library warns of, a command says itself
    if isinstance(sys.stdout.buffer, io.RawIOBase):  # PYTHONUNBUFFERED: a long answer to a slow reader would be cut
        sys.stdout = os.fdopen(sys.stdout.fileno(), "w", buffering=1, encoding=sys.stdout.encoding, closefd=False)
    try:
        app()
    except SettingsError as error:
        for mistake in error.mistakes:
            errors.print(mistake, style="red", markup=False, highlight=False)
        raise SystemExit(Exit.CONFIGURATION) from None
    except Refusal as refusal:
        errors.print(str(refusal), style="red", markup=False, highlight=False)
        raise SystemExit(refusal.code) from None


def _version(asked: bool) -> None:
    if asked:
        console.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run() -> None:
    """Run the worker until SIGTERM.

    Example: CUSTOMER_WORKER_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 customer-worker run
    """
    from worker.app import Worker  # noqa: PLC0415 - FastStream and the server are not for those who only ask

    run_async(Worker(Settings.read()).app.run)


@app.command()
def demo(
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Tell the story on this Kafka, not on a broker inside the process."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Watch the worker work, be killed, and lose nothing.

    Example: customer-worker demo
    """
    from worker.demo import run_demo  # noqa: PLC0415 - its in-process broker is not for those who only run the worker

    if not run_demo(bootstrap_servers=bootstrap_servers, console=console, as_json=as_json):
        raise typer.Exit(Exit.NO)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check settings, brokers, topics and store; exit 1 when one is not well.

    Example: customer-worker check
    """
    settings = Settings.read()
    found = [
        Check("settings", is_well=True, found="valid"),
        *run_async(lambda: _collect(settings)),
        check_store(settings),
    ]
    if as_json:
        print(json.dumps([{"name": c.name, "ok": c.is_well, "found": c.found, "advice": c.advice} for c in found]))
    else:
        for one in found:
            mark = "[green]ok  [/]" if one.is_well else "[red]FAIL[/]"
            console.print(
                mark, f"{one.name}: {one.found}" + (f" - {one.advice}" if one.advice else ""), highlight=False
            )
    if not all(one.is_well for one in found):
        raise typer.Exit(Exit.NO)


async def _collect(settings: Settings) -> list[Check]:
    return [one async for one in checks.kafka_checks(settings)]


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


@config.command("show")
def show_config(as_json: AsJson = False) -> None:
    """Show every setting and its value, secrets hidden.

    Example: customer-worker config show
    """
    shown = Settings.read().shown()
    if as_json:
        print(json.dumps(shown))
        return
    table = Table("setting", "value")
    for name, value in shown.items():
        table.add_row(name, value)
    console.print(table)


@contract.command("asyncapi")
def show_asyncapi() -> None:
    """Print the AsyncAPI document of what is read and sent.

    Example: customer-worker contract asyncapi > asyncapi.json
    """
    from worker import contract as documents  # noqa: PLC0415 - as above

    print(json.dumps(documents.asyncapi(Settings.read().topics), indent=2))


@contract.command("schemas")
def show_schemas() -> None:
    """Print the JSON Schema of each message.

    Example: customer-worker contract schemas | jq .signup
    """
    from worker import contract as documents  # noqa: PLC0415 - as above

    print(json.dumps({name: documents.schema(name) for name in documents.MESSAGES}, indent=2))


@contract.command("alerts")
def show_alerts() -> None:
    """Print the alert rules for Prometheus, as its rule_files take them.

    Example: customer-worker contract alerts > customer-worker-alerts.yaml
    """
    print(alert_rules(), end="")

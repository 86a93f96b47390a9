"""The command line, `customer-worker`. Commands parse options and print results; the operations are elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from inspect import getdoc
from typing import Annotated

import structlog
import typer

from worker import __version__
from worker.cli import standard_output
from worker.cli.shared import AsJson, console, print_error, run_async
from worker.errors import Exit, Refusal
from worker.loading import without_collection
from worker.settings import Settings, SettingsError

_MODULES = (
    "check",
    "topics",
    "config",
    "contract",
    "status",
    "explain",
    "parked",
    "dead_letters",
    "churn",
    "export",
    "sql",
    "reconcile",
    "replay",
    "store",
)
"""Modules of `worker.cli` that register a command or a group of the same name."""


def main() -> None:
    """Run the command line. Expected errors end in one sentence and an exit code instead of a traceback."""
    logging.getLogger().addHandler(logging.NullHandler())  # a command reports errors itself
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())  # by default it prints to standard output
    standard_output.install()
    try:
        command_line(sys.argv[1:])()
    except SettingsError as error:
        for mistake in error.mistakes:
            print_error(mistake)
        raise SystemExit(Exit.CONFIGURATION) from None
    except Refusal as refusal:
        print_error(str(refusal))
        raise SystemExit(refusal.code) from None
    finally:
        standard_output.flush()


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """Build the command line with the command that these arguments name, or with all commands.

    Loading all commands takes longer than most commands run.
    """
    app = typer.Typer(
        name="customer-worker",
        help="Apply customer signups and cancellations from Kafka, and publish customer.churned exactly once.",
        epilog="Exit codes: 0 done; 1 check failed, or differences found; 2 usage error; 69 Kafka or the store cannot "
        "be reached; 70 stopped for safety, or internal error; 78 invalid configuration.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    app.command()(run)
    app.command()(demo)
    name = arguments[0].replace("-", "_") if arguments else ""
    if name not in {"run", "demo"}:
        for module in [name] if name in _MODULES else _MODULES:
            import_module(f"worker.cli.{module}").register(app)
    _reflow_help(app)
    return app


def _reflow_help(app: typer.Typer) -> None:
    """Join the lines of each paragraph of the help texts: typer prints the line breaks of docstrings."""
    for command in app.registered_commands:
        text = command.help or getdoc(command.callback) or ""
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _reflow_help(group.typer_instance)


def _version(asked: bool) -> None:
    if asked:
        console.print(__version__)
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the worker until SIGTERM.

    Example: CUSTOMER_WORKER_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 customer-worker run
    """
    with without_collection():
        from worker.app import application  # noqa: PLC0415 - loads FastStream

    run_async(application(Settings.read()).run)


def demo(
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Run on this Kafka cluster instead of an in-process broker."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a scenario with a crash, and verify that nothing was lost or published twice.

    Example: customer-worker demo
    """
    try:
        from worker.demo import run_demo  # noqa: PLC0415 - loads the in-process broker
    except ModuleNotFoundError as missing:
        if missing.name != "confluent_kafka":
            raise
        raise Refusal("the demo needs confluent-kafka: pip install 'customer-worker[demo]'", Exit.UNREACHABLE) from None

    if not run_demo(bootstrap_servers=bootstrap_servers, console=console, as_json=as_json):
        raise typer.Exit(Exit.NO)

"""`customer-worker replay`: apply decided records again with the current handlers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import Annotated

import typer

from worker import bootstrap
from worker.cli.own_store import own_store
from worker.cli.progress import progress_bar
from worker.cli.replay_report import print_report
from worker.cli.shared import AsJson, Execute, customer_id_typed, run_async, time_typed
from worker.errors import Exit, Refusal
from worker.logs import configuration as logs
from worker.queries.local import no_store
from worker.replay.interruption import Interrupted, Interruption, interruptible
from worker.replay.replay import Replay
from worker.replay.report import Emit, Report
from worker.replay.selection import Selection
from worker.settings import Settings, Topics
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError
from worker.stores.port import Store

INTERRUPTED = 130  # the exit code of a shell for a command that Ctrl-C ended


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


Topic = Annotated[str | None, typer.Option(metavar="signup|cancellation|NAME", help="Topic to replay. Default: both.")]
Partition = Annotated[int | None, typer.Option(min=0, metavar="NUMBER", help="Partition to replay. Default: all.")]
FromOffset = Annotated[int | None, typer.Option(min=0, metavar="OFFSET", help="First offset in each partition.")]
FromTime = Annotated[
    datetime | None,
    typer.Option(
        parser=time_typed, metavar="TIME", help="Start at the first record of this time (UTC, or with a zone)."
    ),
]
ToOffset = Annotated[int | None, typer.Option(min=0, metavar="OFFSET", help="End offset, exclusive.")]
ToTime = Annotated[
    datetime | None,
    typer.Option(parser=time_typed, metavar="TIME", help="End before the first record of this time."),
]
CustomerId = Annotated[
    str | None, typer.Option(parser=customer_id_typed, metavar="ID", help="Replay only records of this customer.")
]
EmitOption = Annotated[
    Emit,
    typer.Option(metavar="all|none", help="Publish the resulting events and dead letters, or count them as published."),
]


def replay(
    topic: Topic = None,
    partition: Partition = None,
    from_offset: FromOffset = None,
    from_time: FromTime = None,
    to_offset: ToOffset = None,
    to_time: ToTime = None,
    customer: CustomerId = None,
    emit: EmitOption = Emit.ALL,
    execute: Execute = False,
    as_json: AsJson = False,
) -> None:
    """Apply decided records again with the current handlers. A dry run unless --execute is given.

    The dry run uses a copy of a DuckDB store, or a snapshot of PostgreSQL. With DuckDB, stop the worker first, also
    for a dry run; workers on PostgreSQL continue. Signups are replayed before cancellations. Records after the
    worker's position are not replayed.

    Example: customer-worker replay --topic signup --from-time 2026-07-01T03:00Z
    """
    settings = Settings.read()
    logs.configure(settings.log.model_copy(update={"level": "ERROR"}))
    selection = Selection(
        _selected_topics(settings.topics, topic), partition, from_offset, from_time, to_offset, to_time, customer
    )
    _require_valid_bounds(selection)
    report = Report(executed=execute, emit=emit)
    try:
        _replay(settings, selection, report)
    except Refusal:
        if report.read:
            print_report(report, as_json=as_json)
        raise
    print_report(report, as_json=as_json)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)


def _replay(settings: Settings, selection: Selection, report: Report) -> None:
    with interruptible(_announce_stop) as interruption:
        try:
            with (
                _store(settings, interruption, execute=report.executed) as store,
                progress_bar("Replaying") as progress,
            ):
                replay = Replay(settings, selection, bootstrap.counted_path(settings), store, report)
                run_async(lambda: replay.run(progress, interruption))
        except Interrupted:
            report.interrupted = True


def _announce_stop() -> None:
    with suppress(OSError):  # the terminal may be closed
        os.write(sys.stderr.fileno(), b"\nStopping after the current batch.\n")  # safe in a signal handler


def _selected_topics(topics: Topics, option: str | None) -> tuple[str, ...]:
    names = {"signup": topics.signup, "cancellation": topics.cancellation}
    if option is None:
        return topics.inputs
    name = names.get(option, option)
    if name not in topics.inputs:
        raise typer.BadParameter(
            f"--topic is signup, cancellation, {' or '.join(topics.inputs)}: the worker reads no other"
        )
    return (name,)


def _require_valid_bounds(selection: Selection) -> None:
    """Raise `typer.BadParameter` unless each bound is an offset or a time, and the start is before the end."""
    s = selection
    if None not in {s.from_offset, s.from_time}:
        raise typer.BadParameter("give --from-offset or --from-time, not both")
    if None not in {s.to_offset, s.to_time}:
        raise typer.BadParameter("give --to-offset or --to-time, not both")
    if s.from_offset is not None and s.to_offset is not None and s.from_offset >= s.to_offset:
        raise typer.BadParameter("--from-offset is not before --to-offset")
    if s.from_time is not None and s.to_time is not None and s.from_time >= s.to_time:
        raise typer.BadParameter("--from-time is not before --to-time")


@contextmanager
def _store(settings: Settings, interruption: Interruption, *, execute: bool) -> Iterator[Store]:
    """Open the store, or a copy for a dry run. Raises `Refusal`, and `Interrupted` if interrupted while copying."""
    if execute:
        with own_store(settings) as store:
            yield store
        return
    try:
        with ExitStack() as copy:
            with progress_bar("Copying the store") as progress:

                def update(done: int, total: int) -> None:
                    interruption.check()
                    progress(done, total)

                store = copy.enter_context(bootstrap.open_dry_run(settings, update))
            yield store
    except NoStoreError as error:
        raise no_store(error) from None
    except StoreInUseError as error:
        raise Refusal(
            f"{error}, usually a running worker. Stop the worker, run the command again, then start the worker",
            Exit.UNREACHABLE,
        ) from None
    except StoreError as error:
        raise Refusal(f"{error}. The store was not changed", Exit.UNREACHABLE) from error

"""`customer-worker replay`: records that were read before, given to the handlers of today."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated

import typer

from worker import bootstrap
from worker.cli.own_store import own_store
from worker.cli.progress import progress_bar
from worker.cli.replay_report import print_report
from worker.cli.shared import AsJson, customer_id_typed, run_async
from worker.errors import Exit, Refusal
from worker.logs import configuration as logs
from worker.replay.interruption import Interrupted, Interruption, interruptible
from worker.replay.report import Emit, Report
from worker.replay.running import Replay
from worker.replay.selection import Selection
from worker.settings import Settings, Topics
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError
from worker.stores.port import Store

INTERRUPTED = 130  # as a shell has it for what Ctrl-C ended


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def _moment(text: str) -> datetime:
    """A time as ISO 8601 has it, in UTC where it names no zone. Raises `typer.BadParameter`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("a time is written as 2026-07-01T03:00, or with a zone as 2026-07-01T03:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def replay(
    topic: Annotated[
        str | None, typer.Option(metavar="signup|cancellation|NAME", help="This topic; else both.")
    ] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="This partition; else all.")] = None,
    from_offset: Annotated[int | None, typer.Option(min=0, help="From this offset of each partition on.")] = None,
    from_time: Annotated[
        datetime | None,
        typer.Option(parser=_moment, metavar="TIME", help="From the first record of this time on (UTC, or with zone)."),
    ] = None,
    to_offset: Annotated[int | None, typer.Option(min=0, help="Up to this offset, itself not included.")] = None,
    to_time: Annotated[
        datetime | None,
        typer.Option(parser=_moment, metavar="TIME", help="Up to the first record of this time, itself not included."),
    ] = None,
    customer: Annotated[
        str | None, typer.Option(parser=customer_id_typed, metavar="ID", help="Only what is about this customer.")
    ] = None,
    emit: Annotated[
        Emit, typer.Option(help="Send the events and dead letters that come of it, or count them as sent.")
    ] = Emit.ALL,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it; without it, only what would be done is shown.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give records that the worker has decided to its handlers once more.

    Without --execute it changes nothing: it works on a copy of a DuckDB store, and on PostgreSQL as it is at one
    moment. With DuckDB the worker has to be stopped for both; PostgreSQL's workers go on. Signups come before
    cancellations, as the worker reads a backlog; what the worker has yet to read is left to it.

    Example: customer-worker replay --topic signup --from-time 2026-07-01T03:00Z
    """
    settings = Settings.read()
    logs.configure(settings.log.model_copy(update={"level": "ERROR"}))
    selection = Selection(
        _topics(settings.topics, topic), partition, from_offset, from_time, to_offset, to_time, customer
    )
    _require_one_of_each(selection)
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
    with interruptible(_say_that_it_ends) as interruption:
        try:
            with _store(settings, interruption, execute=report.executed) as store, progress_bar("Replaying") as tell:
                replaying = Replay(settings, selection, bootstrap.counted_path(settings), store, report)
                run_async(lambda: replaying.run(tell, interruption))
        except Interrupted:
            report.interrupted = True


def _say_that_it_ends() -> None:
    with suppress(OSError):  # the terminal is lost
        os.write(sys.stderr.fileno(), b"\nStopping. What has begun is finished first.\n")  # safe in a signal's handler


def _topics(topics: Topics, asked: str | None) -> tuple[str, ...]:
    names = {"signup": topics.signup, "cancellation": topics.cancellation}
    if asked is None:
        return topics.inputs
    name = names.get(asked, asked)
    if name not in topics.inputs:
        raise typer.BadParameter(
            f"--topic is signup, cancellation, {' or '.join(topics.inputs)}: the worker reads no other"
        )
    return (name,)


def _require_one_of_each(selection: Selection) -> None:
    """Offsets and times say the same thing in two ways, and a beginning comes before its end."""
    s = selection
    if None not in {s.from_offset, s.from_time}:
        raise typer.BadParameter("give --from-offset or --from-time, not both")
    if None not in {s.to_offset, s.to_time}:
        raise typer.BadParameter("give --to-offset or --to-time, not both")
    if s.from_offset is not None and s.to_offset is not None and s.from_offset >= s.to_offset:
        raise typer.BadParameter("--from-offset lies at or after --to-offset: nothing is between")
    if s.from_time is not None and s.to_time is not None and s.from_time >= s.to_time:
        raise typer.BadParameter("--from-time lies at or after --to-time: nothing is between")


@contextmanager
def _store(settings: Settings, interruption: Interruption, *, execute: bool) -> Iterator[Store]:
    """The store, or one to try it out on. Raises `Refusal`, and `Interrupted` where that comes while it is copied."""
    if execute:
        with own_store(settings) as store:
            yield store
        return
    try:
        with ExitStack() as copy:
            with progress_bar("Copying the store") as show:

                def tell(done: int, of: int) -> None:
                    interruption.check()
                    show(done, of)

                store = copy.enter_context(bootstrap.open_dry_run(settings, tell))
            yield store
    except NoStoreError as error:
        advice = "no worker has run here yet, or CUSTOMER_WORKER_STORE__URL names another one"
        raise Refusal(f"{error}: {advice}", Exit.UNREACHABLE) from None
    except StoreInUseError as error:
        raise Refusal(
            f"{error}, a running worker as a rule: stop it, run the command again, then start it", Exit.UNREACHABLE
        ) from None
    except StoreError as error:
        raise Refusal(f"{error}. The store itself is as it was", Exit.UNREACHABLE) from error

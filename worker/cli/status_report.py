"""The status, printed as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from rich.table import Table
from rich.text import Text

from worker.bootstrap import backend
from worker.cli.counted import counted
from worker.errors import Refusal
from worker.monitoring.worker_report import WorkerReport
from worker.queries.lag import InputStatus
from worker.queries.status import StoreStatus
from worker.settings import Settings
from worker.text.ages import shown_age
from worker.text.printable import json_line


class Found(NamedTuple):
    """The status. `inputs` is None if Kafka cannot be reached: `unreachable` has the cause.

    `worker` is None if no worker runs; with a shared store, if none responds at the port of the settings.
    """

    store: StoreStatus
    worker: WorkerReport | None
    inputs: InputStatus | None
    unreachable: Refusal | None


def as_json_line(settings: Settings, found: Found) -> str:
    """Return the status as one line of JSON."""
    made: dict[str, Any] = {
        "group": settings.kafka.group_id,
        "worker": found.worker,
        "store": {"url": settings.store.shown, **msgspec.to_builtins(found.store.totals)},
        "dead_letters": {"count": _letter_count(settings, found), "by_state": found.store.letters},
        "publishes": found.store.leader,
        "positions": [dict(zip(("topic", "partition", "next_offset"), p, strict=True)) for p in found.store.positions],
        "inputs": found.inputs,
        "kafka": None if found.unreachable is None else str(found.unreachable),
    }
    return json_line(made)


def facts(settings: Settings, found: Found) -> Text:
    """Return the status as text without the partitions, one fact per line."""
    lines = _facts(settings, found, datetime.now(UTC))
    return Text("\n".join(f"{name:<14}{text}" for name, text in lines))


def partitions(found: Found) -> Table:
    """Return the table of the input partitions."""
    return _lags(found.inputs) if found.inputs else _positions(found.store)


def _facts(settings: Settings, found: Found, now: datetime) -> Iterator[tuple[str, str]]:
    totals = found.store.totals
    yield "worker", _worker(settings, found.worker, now)
    yield "last batch", _last_batch(found.worker, now)
    yield "group", settings.kafka.group_id + _members(found.inputs)
    if backend(settings.store).is_shared:
        yield "publishes", found.store.leader or "none (a running worker takes over within 6 s)"
    yield "store", f"{settings.store.shown}, {_size(totals.size_bytes)}"
    yield "customers", f"{totals.customers:,}, {totals.churned:,} of them churned"
    yield "decided", _counts(totals.decisions)
    yield (
        "parked",
        f"{counted(totals.parked.records, 'cancellation')} of {counted(totals.parked.customers, 'customer')}"
        + _since(totals.parked.since, now),
    )
    yield "dead letters", _dead_letters(settings, found)
    yield "outbox", f"{totals.pending:,} to publish{_since(totals.pending_since, now)}"
    if found.unreachable is not None:
        yield "Kafka", "cannot be reached"
    elif found.inputs is not None and found.inputs.unreadable:
        yield "Kafka", "; ".join(f"{topic}: {why}" for topic, why in found.inputs.unreadable.items())


def _worker(settings: Settings, worker: WorkerReport | None, now: datetime) -> str:
    if worker is None and backend(settings.store).is_shared:
        where = f"none responds at port {settings.http.port} of this machine"
        if not settings.http.enabled:
            where = "unknown, as CUSTOMER_WORKER_HTTP__ENABLED is false"
        return f"{where}; see the members of the group"
    if worker is None:
        return "none running: no process has the store open"
    failing = [f"{check.name}: {check.found}" for check in worker.checks if not check.ok]
    state = f"not ready ({'; '.join(failing)})" if failing else "ready"
    return f"{state}, version {worker.version}, for {shown_age(now - worker.started_at)}"


def _last_batch(worker: WorkerReport | None, now: datetime) -> str:
    if worker is None:
        return "-"
    if (batch := worker.last_batch) is None:
        return "none yet"
    took = f"{batch.records:,} records in {batch.seconds:.3f} s"
    return f"{shown_age(now - batch.at)} ago, {took}: {_counts(batch.outcomes)}"


def _members(inputs: InputStatus | None) -> str:
    if inputs is None or inputs.members is None:
        return ""
    members = f", {counted(inputs.members, 'member')}"
    if inputs.members > 1:
        shared = [f"{each.host} has {counted(each.partitions, 'partition')}" for each in inputs.workers or []]
        members += ": " + ", ".join(shared)
    return members


def _counts(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{outcomes.get(name, 0):,} {name}" for name in ("applied", "duplicate", "parked", "rejected"))


def _since(moment: datetime | None, now: datetime) -> str:
    return "" if moment is None else f", oldest for {shown_age(now - moment)}"


def _dead_letters(settings: Settings, found: Found) -> str:
    states = found.store.letters
    if not states:
        return f"{_letter_count(settings, found):,}"
    return ", ".join(f"{number:,} {state.replace('_', ' ')}" for state, number in sorted(states.items()))


def _letter_count(settings: Settings, found: Found) -> int:
    _, *topics = settings.topics.outputs
    return sum(found.store.totals.outgoing.get(topic, 0) for topic in topics)


def _size(size_bytes: int | None) -> str:
    return "in memory" if size_bytes is None else f"{size_bytes / 1024**2:,.1f} MiB"


def _lags(inputs: InputStatus) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("partition")
    for column in ("position", "end", "lag", "behind for"):
        table.add_column(column, justify="right")
    table.add_column()
    lag = sum(each.lag for each in inputs.partitions)
    longest = max((each.lag_seconds for each in inputs.partitions if each.lag_seconds is not None), default=None)
    table.add_row("all", "", "", f"{lag:,}", _behind(longest), style="bold")
    for each in inputs.partitions:
        table.add_row(
            f"{each.topic}/{each.partition}",
            "-" if each.position is None else f"{each.position:,}",
            f"{each.end:,}",
            f"{each.lag:,}",
            _behind(each.lag_seconds),
            each.note,
        )
    return table


def _behind(seconds: float | None) -> str:
    return "-" if seconds is None else shown_age(timedelta(seconds=seconds))


def _positions(store: StoreStatus) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("partition")
    table.add_column("position", justify="right")
    for topic, partition, offset in store.positions:
        table.add_row(f"{topic}/{partition}", f"{offset:,}")
    return table

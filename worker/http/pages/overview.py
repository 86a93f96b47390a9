"""The overview: verdict, the last 15 minutes, what waits, and the input partitions, without customer data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from starlette.responses import HTMLResponse

from domain.customer import dollars
from worker.http.pages import figures
from worker.http.pages.frame import Frame
from worker.http.pages.recent import minutes, recent_charts
from worker.http.pages.revenue import lost_chart
from worker.messages.record import TopicPartition
from worker.metrics.counters import OUTCOMES, Metrics
from worker.monitoring.gauges import Gauges, Reading
from worker.monitoring.history import History
from worker.monitoring.verdict import verdict
from worker.monitoring.worker_report import WorkerReport
from worker.settings import Settings

REFRESH_SECONDS = 10
SHOWN_PARTITIONS = 16


class Waiting(NamedTuple):
    """A row of what waits: its number, ARR at stake (empty if unknown) and age as text, and the page that lists it."""

    what: str
    href: str
    number: int
    arr: str
    oldest: str


class PartitionRow(NamedTuple):
    """A partition: next offset, lag, and the age of its oldest unread record in seconds."""

    name: str
    position: int | None
    lag: int
    behind: str


class TopicRow(NamedTuple):
    """Totals of the partitions of an input topic; `problem` is empty if it can be read."""

    name: str
    partitions: int
    lag: int
    behind: str
    problem: str


class Overview:
    """The overview of one worker."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        gauges: Gauges,
        history: History,
        report: Callable[[], WorkerReport],
        frame: Frame,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._gauges = gauges
        self._history = history
        self._report = report
        self._frame = frame

    async def page(self, *, refreshes: bool) -> HTMLResponse:
        """Render the page; with `refreshes`, the browser refreshes it periodically."""
        reading = await self._gauges.read()
        await self._gauges.lost_arr.refresh(0.0 if reading.failure else 1.0)
        now = datetime.now(UTC)
        partitions = _partitions(reading)
        return self._frame.page(
            "overview",
            refresh_seconds=REFRESH_SECONDS if refreshes else 0,
            now=now,
            verdict=verdict(reading, self._history.trend()),
            store_since=_stale(reading.failure, reading.known_at, now),
            kafka_since=_kafka_silence(reading),
            charts=recent_charts(self._history, now.timestamp()),
            minutes=minutes(self._history, now.timestamp()),
            lost=lost_chart(self._gauges.lost_arr.value, now.date()),
            lost_since=_stale(self._gauges.lost_arr.failure, self._gauges.lost_arr.at, now),
            waiting=list(_waiting(reading, now)),
            topics=self._topics(reading),
            partitions=partitions[:SHOWN_PARTITIONS],
            folded=partitions[SHOWN_PARTITIONS:],
            position_unknown="unknown" if reading.known is None else "—",
            checks=sorted(reading.checks, key=lambda check: check.is_well),
            outcomes=OUTCOMES,
            decisions=self._decisions(),
            rejected=[(str(reason), number) for reason, number in self._metrics.rejected.most_common() if number],
            facts=list(self._facts(reading, now)),
        )

    def _topics(self, reading: Reading) -> list[TopicRow]:
        rows = []
        for topic in self._settings.topics.inputs:
            own = {at: lag for at, lag in reading.lag.items() if at[0] == topic}
            is_readable = reading.readable.get(topic, True)
            behind = max((_behind(reading, at) for at in own), default=0.0)
            shown = figures.duration(behind) if behind else ""
            rows.append(TopicRow(topic, len(own), sum(own.values()), shown, "" if is_readable else "cannot be read"))
        return rows

    def _decisions(self) -> list[tuple[str, list[int]]]:
        decided = self._metrics.decided
        topics = dict.fromkeys(topic for topic, _ in decided)
        return [(topic, [decided[topic, outcome] for outcome in OUTCOMES]) for topic in topics]

    def _facts(self, reading: Reading, now: datetime) -> Iterator[tuple[str, str]]:
        report = self._report()
        yield "Version", report.version
        yield "Started", f"{figures.moment(report.started_at)}, {figures.age(report.started_at, now)} ago"
        yield "Consumer group", self._settings.kafka.group_id
        yield "Kafka", self._settings.kafka.bootstrap_servers
        yield "Store", self._settings.store.shown
        if reading.known is not None and reading.known.size_bytes is not None:
            yield "Store size", figures.size(reading.known.size_bytes)
        if (batch := report.last_batch) is not None:
            took = f"{batch.records:,} records in {figures.duration(batch.seconds)}"
            yield "Last batch", f"{took}, {figures.age(batch.at, now)} ago"
        yield "ARR lost since the start", dollars(self._metrics.lost_arr)
        yield "Signups with an unknown industry", f"{self._metrics.unknown_industries:,}"


def _partitions(reading: Reading) -> list[PartitionRow]:
    """Return the partitions, those with the largest lag first."""
    positions: Mapping[TopicPartition, int] = reading.known.positions if reading.known else {}
    ordered = sorted(reading.lag.items(), key=lambda each: (-each[1], each[0]))
    rows = []
    for at, lag in ordered:
        behind = _behind(reading, at)
        rows.append(
            PartitionRow(f"{at[0]}/{at[1]}", positions.get(at), lag, figures.duration(behind) if behind else "")
        )
    return rows


def _behind(reading: Reading, partition: TopicPartition) -> float:
    return reading.behind_seconds.get(partition, 0.0) if reading.lag.get(partition) else 0.0


def _waiting(reading: Reading, now: datetime) -> Iterator[Waiting]:
    if reading.known is None:
        return
    waiting, letters = reading.known.waiting, reading.known.at_stake
    if letters is not None:
        yield Waiting(
            "Dead letters", "dead-letters", letters.letters, dollars(letters.arr), figures.age(letters.since, now)
        )
    yield Waiting("Parked cancellations", "parked", waiting.parked, "", figures.age(waiting.parked_since, now))
    yield Waiting("Records to publish", "", waiting.pending, "", figures.age(waiting.pending_since, now))


def _stale(failure: str | None, at: datetime | None, now: datetime) -> str:
    """Return the age of what is known of a store that fails, empty while it does not."""
    if failure is None:
        return ""
    known = "nothing was read since the start" if at is None else f"as of {figures.age(at, now)} ago"
    return f"{known}: {failure}"


def _kafka_silence(reading: Reading) -> str:
    if not reading.is_outdated:
        return ""
    return f"as of {figures.duration(reading.inputs_age_seconds)} ago: Kafka has not answered since"

"""Gauges, read per request: health, lag, and the backlog of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from worker.consumer.input_watch import OUTDATED_SECONDS
from worker.consumer.subscriber import Consumer
from worker.messages.record import TopicPartition
from worker.monitoring.checks import Check
from worker.monitoring.health import Health
from worker.monitoring.latest import Latest
from worker.settings import Settings
from worker.stores.arr_at_stake import at_stake
from worker.stores.churn_groups import ChurnGroup, GroupBy
from worker.stores.port import StoreLifecycle
from worker.stores.reading import AtStake, Waiting

ARR_SHARE = 0.01
"""Share of a core for adding up ARR, of dead letters or of customers: the more there are, the longer it takes."""
READ_SECONDS = 2.0
"""Time limit of a store that does not answer; then what was read before is shown."""
LOST_ARR_DAYS = 30


@dataclass(frozen=True, slots=True)
class StoreReading:
    """Positions, backlog, dead letters, and size in bytes of the store (None without a file).

    `at_stake` is None until it was added up for the first time.
    """

    positions: Mapping[TopicPartition, int]
    waiting: Waiting
    at_stake: AtStake | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """State of the worker: checks, partitions, store.

    If the store cannot be read, `store` is None and `positions` is empty; `known` is what was last read, at
    `known_at`, and `failure` the reason. `lag` is in offsets, `behind_seconds` is the age of the oldest of them;
    `readable` has each input topic. Kafka last described these `inputs_age_seconds` ago.
    """

    checks: Sequence[Check]
    positions: Mapping[TopicPartition, int]
    lag: Mapping[TopicPartition, int]
    store: StoreReading | None
    behind_seconds: Mapping[TopicPartition, float] = field(default_factory=dict)
    readable: Mapping[str, bool] = field(default_factory=dict)
    known: StoreReading | None = None
    known_at: datetime | None = None
    failure: str | None = None
    inputs_age_seconds: float = 0.0

    @property
    def is_outdated(self) -> bool:
        """Whether Kafka has not described the input topics lately: their lag is the last known one."""
        return self.inputs_age_seconds > OUTDATED_SECONDS


class Gauges:
    """Reader of the gauges of a running worker.

    `lost_arr` has the churned customers by day: of the last `LOST_ARR_DAYS` days, and of later ones.
    """

    def __init__(self, consumer: Consumer, health: Health, store: StoreLifecycle, settings: Settings) -> None:
        self._consumer = consumer
        self._health = health
        self._store = store
        self._settings = settings
        self._backlog = Latest(self._read_backlog)
        self._at_stake = Latest(self._read_at_stake, ARR_SHARE)
        self.lost_arr = Latest(self._read_lost_arr, ARR_SHARE)

    async def read(self, within_seconds: float = READ_SECONDS) -> Reading:
        """Read the current state; of a store that does not answer in time, return what is known."""
        await asyncio.gather(self._backlog.refresh(within_seconds), self._at_stake.refresh(within_seconds))
        inputs = self._consumer.inputs
        await inputs.read_positions()
        known = self.known()
        failure = self._backlog.failure
        store = None if failure else known
        lag = inputs.lag(known.positions if known else {})
        return Reading(
            self._health.ready(),
            {partition: store.positions.get(partition, 0) for partition in lag} if store else {},
            lag,
            store,
            inputs.behind_seconds(),
            {topic: problem is None for topic, problem in inputs.topic_problems.items()},
            known,
            self._backlog.at,
            failure,
            inputs.age_seconds if self._consumer.assignment.is_set.is_set() else 0.0,
        )

    def lag(self) -> int | None:
        """Return the unread offsets of all partitions as known now, without reading; None while Kafka is silent."""
        inputs, known = self._consumer.inputs, self.known()
        if inputs.is_outdated or not self._consumer.assignment.is_set.is_set():
            return None
        return sum(inputs.lag(known.positions if known else {}).values())

    def known(self) -> StoreReading | None:
        """Return what was last read of the store, None if nothing was."""
        if self._backlog.value is None:
            return None
        positions, waiting, size = self._backlog.value
        return StoreReading(positions, waiting, self._at_stake.value, size)

    def _read_backlog(self) -> tuple[Mapping[TopicPartition, int], Waiting, int | None]:
        with self._store.view() as view:
            return view.positions(), view.waiting(), view.size_bytes()

    def _read_at_stake(self) -> AtStake:
        with self._store.view() as view:
            return at_stake(view, self._settings)

    def _read_lost_arr(self) -> list[ChurnGroup]:
        since = datetime.now(UTC).date() - timedelta(days=LOST_ARR_DAYS - 1)
        with self._store.view() as view:
            return view.churn_groups(GroupBy.DAY, since, None)

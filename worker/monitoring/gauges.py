"""Gauges, read per request: health, lag, and the backlog of the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from worker.consumer.subscriber import Consumer
from worker.messages.record import TopicPartition
from worker.monitoring.checks import Check
from worker.monitoring.health import Health
from worker.settings import Settings
from worker.stores.arr_at_stake import at_stake
from worker.stores.errors import StoreError
from worker.stores.port import StoreLifecycle
from worker.stores.reading import AtStake, Waiting

log = structlog.get_logger(__name__)

AT_STAKE_SHARE = 0.01
"""Share of a core for reading dead letters, whose duration grows with their number."""


@dataclass(frozen=True, slots=True)
class StoreReading:
    """Positions, backlog, dead letters, and size in bytes of the store (None without a file)."""

    positions: Mapping[TopicPartition, int]
    waiting: Waiting
    at_stake: AtStake
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """State of the worker: checks, partitions, store.

    If the store cannot be read, `store` is None and `positions` is empty. `lag` is in offsets, `behind_seconds` is the
    age of the oldest of them; `readable` has each input topic.
    """

    checks: Sequence[Check]
    positions: Mapping[TopicPartition, int]
    lag: Mapping[TopicPartition, int]
    store: StoreReading | None
    behind_seconds: Mapping[TopicPartition, float] = field(default_factory=dict)
    readable: Mapping[str, bool] = field(default_factory=dict)


class Gauges:
    """Reader of the gauges of a running worker."""

    def __init__(self, consumer: Consumer, health: Health, store: StoreLifecycle, settings: Settings) -> None:
        self._consumer = consumer
        self._health = health
        self._store = store
        self._settings = settings
        self._reading = asyncio.Lock()
        self._at_stake: AtStake | None = None
        self._look_again_at = 0.0

    async def read(self) -> Reading:
        """Read the current state."""
        async with self._reading:
            store = await asyncio.to_thread(self._read_store)
        inputs = self._consumer.inputs
        await inputs.read_positions()
        lag = inputs.lag(store.positions if store else {})
        return Reading(
            self._health.ready(),
            {partition: store.positions.get(partition, 0) for partition in lag} if store else {},
            lag,
            store,
            inputs.behind_seconds(),
            {topic: problem is None for topic, problem in inputs.topic_problems.items()},
        )

    def _read_store(self) -> StoreReading | None:
        try:
            with self._store.view() as view:
                waiting, size = view.waiting(), view.size_bytes()
                if self._at_stake is None or time.monotonic() >= self._look_again_at:
                    began = time.monotonic()
                    self._at_stake = at_stake(view, self._settings)
                    now = time.monotonic()
                    self._look_again_at = now + (now - began) / AT_STAKE_SHARE
                return StoreReading(view.positions(), waiting, self._at_stake, size)
        except StoreError as error:
            log.warning("store not readable", error=str(error))
            return None

"""What is looked up when somebody asks how the worker stands: health, lag, and what the store says."""

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
"""How much of a core may go into looking at dead letters, which takes the longer the more of them there are."""


@dataclass(frozen=True, slots=True)
class StoreReading:
    """What the store says: its positions, what waits, its dead letters, its size in bytes (None without a file)."""

    positions: Mapping[TopicPartition, int]
    waiting: Waiting
    at_stake: AtStake
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """How the worker stands: its checks, its partitions, its store.

    Where the store cannot be read now, `store` is None and there are no `positions`. `lag` is in offsets,
    `behind_seconds` for how long the oldest of them has waited; `readable` has each input topic.
    """

    checks: Sequence[Check]
    positions: Mapping[TopicPartition, int]
    lag: Mapping[TopicPartition, int]
    store: StoreReading | None
    behind_seconds: Mapping[TopicPartition, float] = field(default_factory=dict)
    readable: Mapping[str, bool] = field(default_factory=dict)


class Gauges:
    """Reads the parts of one running worker."""

    def __init__(self, consumer: Consumer, health: Health, store: StoreLifecycle, settings: Settings) -> None:
        self._consumer = consumer
        self._health = health
        self._store = store
        self._settings = settings
        self._reading = asyncio.Lock()
        self._at_stake: AtStake | None = None
        self._look_again_at = 0.0

    async def read(self) -> Reading:
        """Look now."""
        async with self._reading:
            store = await asyncio.to_thread(self._read_store)
        inputs = self._consumer.inputs
        await inputs.read_positions()
        lag = inputs.lag(store.positions if store else {})
        return Reading(
            self._health.ready(),
            {place: store.positions.get(place, 0) for place in lag} if store else {},
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
            log.warning("the store cannot be read for now", error=str(error))
            return None

"""Sources of dead letters: the running worker or the store, or a store that this process has open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from typing_extensions import override

from worker.bootstrap import backend
from worker.consumer.single_owner_assignor import members_of
from worker.messages.record import TopicPartition
from worker.queries.client import fetch_worker_report, run_query
from worker.queries.dead_letters import LETTER_RECORDS, LETTERS, POSITIONS, LetterRecordsQuery, LettersAnswer
from worker.queries.query import NoParameters
from worker.settings import Settings
from worker.stores.dead_letters import Filters, LetterRecord
from worker.stores.port import Store


class DeadLetterSource(Protocol):
    """Dead letters, their records, and the positions of the input partitions."""

    async def letters(self, filters: Filters) -> LettersAnswer:
        """Return the selected letters."""

    async def records(self, seqs: Sequence[int]) -> list[LetterRecord]:
        """Return the records of these outbox rows in order; if they are large, only the first of them, at least one."""

    async def positions(self) -> Mapping[TopicPartition, int]:
        """Return the next offset of each input partition."""


class RemoteSource(DeadLetterSource):
    """The running worker, or the store if no worker runs. Methods raise `Refusal` if neither can be read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def is_worker_running(self) -> bool:
        """Return whether a worker is running that will decide the records sent."""
        if backend(self._settings.store).is_shared:
            return bool(await members_of(self._settings))
        return await fetch_worker_report(self._settings) is not None

    @override
    async def letters(self, filters: Filters) -> LettersAnswer:
        return await run_query(self._settings, LETTERS, filters)

    @override
    async def records(self, seqs: Sequence[int]) -> list[LetterRecord]:
        return await run_query(self._settings, LETTER_RECORDS, LetterRecordsQuery(list(seqs)))

    @override
    async def positions(self) -> Mapping[TopicPartition, int]:
        found = await run_query(self._settings, POSITIONS, NoParameters())
        return {(topic, partition): offset for topic, partition, offset in found}


class LocalSource(DeadLetterSource):
    """A store that this process has open."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    @override
    async def letters(self, filters: Filters) -> LettersAnswer:
        with self._store.view() as view:
            return LETTERS.run(view, self._settings, filters)

    @override
    async def records(self, seqs: Sequence[int]) -> list[LetterRecord]:
        with self._store.view() as view:
            return LETTER_RECORDS.run(view, self._settings, LetterRecordsQuery(list(seqs)))

    @override
    async def positions(self) -> Mapping[TopicPartition, int]:
        return self._store.positions()

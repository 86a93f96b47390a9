"""Dead letters as one asks for them: of the running worker, or of the store where none has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing_extensions import override

from worker.bootstrap import backend
from worker.consumer.single_owner_assignor import members_of
from worker.messages.record import TopicPartition
from worker.queries.client import ask, ask_worker
from worker.queries.dead_letters import LETTER_RECORDS, LETTERS, POSITIONS, LetterRecordsQuery, LettersAnswer
from worker.queries.query import NoParameters
from worker.redrive.looking import DeadLetterSource
from worker.settings import Settings
from worker.stores.dead_letters import Filters, LetterRecord
from worker.stores.port import Store


class RemoteSource(DeadLetterSource):
    """Whoever has the store. Raises `Refusal` where nobody answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def is_worker(self) -> bool:
        """Whether a worker runs, and will decide what is sent."""
        if backend(self._settings.store).is_shared:
            return bool(await members_of(self._settings))
        return await ask_worker(self._settings) is not None

    @override
    async def letters(self, filters: Filters) -> LettersAnswer:
        return await ask(self._settings, LETTERS, filters)

    @override
    async def records(self, seqs: Sequence[int]) -> list[LetterRecord]:
        return await ask(self._settings, LETTER_RECORDS, LetterRecordsQuery(list(seqs)))

    @override
    async def positions(self) -> Mapping[TopicPartition, int]:
        found = await ask(self._settings, POSITIONS, NoParameters())
        return {(topic, partition): offset for topic, partition, offset in found}


class LocalSource(DeadLetterSource):
    """The store that this process has open."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    @override
    async def letters(self, filters: Filters) -> LettersAnswer:
        with self._store.view() as view:
            return LETTERS.find(view, self._settings, filters)

    @override
    async def records(self, seqs: Sequence[int]) -> list[LetterRecord]:
        with self._store.view() as view:
            return LETTER_RECORDS.find(view, self._settings, LetterRecordsQuery(list(seqs)))

    @override
    async def positions(self) -> Mapping[TopicPartition, int]:
        return self._store.positions()

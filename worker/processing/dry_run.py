"""The batch processor and its unit of work with their decisions counted, for dry runs and replays."""

from __future__ import annotations

from collections import Counter

from typing_extensions import override

from worker.messages.composer import Composer
from worker.messages.inbound import Decoder
from worker.messages.message import Message
from worker.messages.record import Record
from worker.messages.rejection import Rejected
from worker.processing.batch import BatchProcessor, BatchResult, Messages
from worker.processing.outcomes import Outcome
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.changes import Changes

Decisions = Counter[tuple[str, str | None]]
"""Counts by outcome and reason of a rejection."""


class CountingProcessor(BatchProcessor):
    """Processor that counts the decisions of the last batch, including those without effect.

    `decided` counts decisions about the batch's records, `released` those about parked cancellations.
    """

    def __init__(self, decoder: Decoder, composer: Composer) -> None:
        super().__init__(decoder, composer)
        self.decided: Decisions = Counter()
        self.released: Decisions = Counter()
        self._counted = self.decided

    def is_about(self, record: Record, customer_id: str) -> bool:
        """Return whether the record can be decoded and concerns this customer."""
        return self.decoder.decode(record).customer_id == customer_id

    @override
    def apply(self, messages: Messages, work: UnitOfWork) -> BatchResult:
        self._counted = self.decided = Counter()
        self.released = Counter()
        return super().apply(messages, work)

    @override
    def _handle(self, message: Message, work: UnitOfWork, result: BatchResult) -> Outcome:
        outcome = super()._handle(message, work, result)
        self._counted[outcome.name, outcome.reason.value if isinstance(outcome, Rejected) else None] += 1
        return outcome

    @override
    def _apply_released(self, customer_id: str, work: UnitOfWork, result: BatchResult) -> None:
        self._counted = self.released
        super()._apply_released(customer_id, work, result)
        self._counted = self.decided


class SeenWork(UnitOfWork):
    """A unit of work with visible changes."""

    @property
    def changes(self) -> Changes:
        """The changes, committed or to be committed."""
        return self._changes

"""The batch path: records in, one commit out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.handlers import handle_cancellation, handle_signup
from worker.messages import Decoder, Message, Signup
from worker.outcomes import Applied, Outcome, Parked, Rejected
from worker.outgoing import Composer
from worker.records import Record
from worker.unit_of_work import JournalRow, UnitOfWork


class Decision(NamedTuple):
    """What a record led to."""

    record: Record
    customer_id: str | None
    outcome: Outcome


@dataclass(slots=True)
class BatchResult:
    """What a batch came to, for the log: decisions by outcome, and each rejected record."""

    outcomes: Counter[str] = field(default_factory=Counter)
    rejected: list[Decision] = field(default_factory=list)
    replayed: int = 0
    unknown_industries: int = 0


class BatchPath:
    """Applies records to customers, in order, each on its own merits."""

    def __init__(self, decoder: Decoder, composer: Composer) -> None:
        self._decode = decoder.decode
        self._composer = composer

    def apply(self, records: Sequence[Record], work: UnitOfWork) -> BatchResult:
        """Decide every record and write down what follows; the caller commits.

        A record read again (a replay) may still change a customer, but what was told once is not told again: no
        second dead letter, and no journal row that only says "duplicate".
        """
        result = BatchResult()
        decode = self._decode
        messages = [decode(record) for record in records]
        named = {message.customer_id for message in messages if not isinstance(message, Rejected)}
        work.customers.load(named)
        work.parked.load(named)
        is_behind = work.positions.is_behind
        for record, message in zip(records, messages, strict=True):
            is_replay = is_behind(record)
            result.replayed += is_replay
            for decision in self._decide(record, message, work, result):
                result.outcomes[decision.outcome.name] += 1
                if not is_replay or decision.record is not record or isinstance(decision.outcome, Applied | Parked):
                    self._write_down(decision, work, result)
        work.positions.advance(records)
        return result

    def _decide(
        self, record: Record, message: Message | Rejected, work: UnitOfWork, result: BatchResult
    ) -> Iterator[Decision]:
        """The record's own decision, then that of each cancellation which had waited for it."""
        if isinstance(message, Rejected):
            yield Decision(record, message.customer_id, message)
        elif isinstance(message, Signup):
            result.unknown_industries += not message.is_industry_known
            outcome = handle_signup(message, work)
            yield Decision(record, message.customer_id, outcome)
            if isinstance(outcome, Applied):
                for parked in work.parked.release(message.customer_id):
                    yield from self._decide(parked, self._decode(parked), work, result)
        else:
            yield Decision(record, message.customer_id, handle_cancellation(message, work))

    def _write_down(self, decision: Decision, work: UnitOfWork, result: BatchResult) -> None:
        record, customer_id, outcome = decision
        reason = event_id = None
        if isinstance(outcome, Rejected):
            reason = outcome.reason.value
            work.outbox.append(self._composer.dead_letter(record, outcome))
            result.rejected.append(decision)
        elif isinstance(outcome, Applied) and outcome.event is not None:
            message = self._composer.churned(outcome.event, cause=record)
            work.outbox.append(message)
            event_id = message.id
        work.journal.append(
            JournalRow(record.topic, record.partition, record.offset, customer_id, outcome.name, reason, event_id)
        )

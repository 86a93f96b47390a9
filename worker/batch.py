"""The batch path: records in, one commit out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.handlers import handle_cancellation, handle_signup
from worker.messages import Cancellation, Decoder, Message, Signup
from worker.outcomes import APPLIED, Applied, Outcome, Parked, Rejected
from worker.outgoing import Composer
from worker.records import Record
from worker.unit_of_work import UnitOfWork


@dataclass(slots=True)
class BatchResult:
    """What a batch came to, for the log: what was decided by outcome, and each rejected record.

    A replayed record counts by outcome only where it told something new.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    rejected: list[tuple[Record, Rejected]] = field(default_factory=list)
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
        messages = [self._decode(record) for record in records]
        named = {message.customer_id for message in messages if not isinstance(message, Rejected)}
        work.customers.load(named)
        work.parked.load(named)
        topic, partition, next_offset = "", -1, 0
        for record, message in zip(records, messages, strict=True):
            if record.partition != partition or record.topic != topic:
                topic, partition = record.topic, record.partition
                next_offset = work.positions.next_offset(topic, partition)
            is_replay = record.offset < next_offset
            result.replayed += is_replay
            outcome = self._handle(message, work, result)
            if not is_replay or isinstance(outcome, Applied | Parked):
                self._write_down(record, message.customer_id, outcome, work, result)
            if outcome is APPLIED:  # a signup: what waited for it comes next
                self._apply_released(message.customer_id, work, result)
        work.positions.advance(records)
        return result

    def _handle(self, message: Message | Rejected, work: UnitOfWork, result: BatchResult) -> Outcome:
        if isinstance(message, Cancellation):
            return handle_cancellation(message, work)
        if isinstance(message, Signup):
            result.unknown_industries += not message.is_industry_known
            return handle_signup(message, work)
        return message

    def _apply_released(self, customer_id: str | None, work: UnitOfWork, result: BatchResult) -> None:
        for record in work.parked.release(customer_id):
            message = self._decode(record)
            self._write_down(record, message.customer_id, self._handle(message, work, result), work, result)

    def _write_down(
        self, record: Record, customer_id: str | None, outcome: Outcome, work: UnitOfWork, result: BatchResult
    ) -> None:
        reason = event_id = None
        if isinstance(outcome, Rejected):
            reason = outcome.reason.value
            work.outbox.append(self._composer.dead_letter(record, outcome))
            result.rejected.append((record, outcome))
        elif isinstance(outcome, Applied) and outcome.event is not None:
            message = self._composer.churned(outcome.event, cause=record)
            work.outbox.append(message)
            event_id = message.id
        result.outcomes[outcome.name] += 1
        work.journal.append(
            (record.topic, record.partition, record.offset, customer_id, outcome.name, reason, event_id)
        )

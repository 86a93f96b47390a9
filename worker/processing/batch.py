"""The processor of a batch: records in, one commit out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256

from worker.messages.composer import Composer
from worker.messages.inbound import Cancellation, Decoder, Message, Signup
from worker.messages.record import Record, TopicPartition
from worker.messages.redrive_headers import claims_to_be_redriven, redriven_letter
from worker.messages.rejection import Reason, Rejected
from worker.processing.handlers import handle_cancellation, handle_signup
from worker.processing.outcomes import APPLIED, Applied, Outcome, Parked
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.changes import JournalRow, ParkedRecord, Redrive

Messages = Sequence[Message | Rejected]
"""The messages of records, in their order, or their rejections."""


@dataclass(slots=True)
class BatchResult:
    """Result of a batch, for log and metrics: decisions by topic and outcome, and each rejected record.

    A replayed record counts by outcome only if it had a new effect. `reached` is the offset after the batch's last
    record of each partition, `lost_arr` the ARR of the customers who churned, in dollars.
    """

    decided: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: list[tuple[Record, Rejected]] = field(default_factory=list)
    replayed: int = 0
    unknown_industries: int = 0
    reached: dict[TopicPartition, int] = field(default_factory=dict)
    lost_arr: Decimal = Decimal(0)

    @property
    def outcomes(self) -> Counter[str]:
        """Decisions by outcome."""
        outcomes = Counter[str]()
        for (_, outcome), count in self.decided.items():
            outcomes[outcome] += count
        return outcomes


class BatchProcessor:
    """Processor of batches: applies records to customers, in order, independent of each other."""

    def __init__(self, decoder: Decoder, composer: Composer) -> None:
        self._decode, self._decode_all = decoder.decode, decoder.decode_all
        self._composer = composer

    def read(self, records: Sequence[Record]) -> Messages:
        """Decode the records. No store is needed: this may run while the previous batch is being applied."""
        return self._decode_all(records)

    def apply(self, records: Sequence[Record], work: UnitOfWork, messages: Messages | None = None) -> BatchResult:
        """Decide every record and add the effects to the unit of work; the caller commits.

        `messages` is the result of `read`, if the records are decoded already. A record read again (a replay) may
        still change a customer, but leads to no second dead letter, and to no journal row for a mere duplicate. A
        record before the position that was never decided, because an operator skipped it, is decided as a new one.
        """
        result = BatchResult()
        messages = self.read(records) if messages is None else messages
        named = {message.customer_id for message in messages if message.customer_id is not None}
        work.customers.load(named)
        work.parked.load(named)
        abandoned, waiting = work.parked.abandoned, work.parked.waiting
        earlier = work.earlier_decisions(records)
        topic, partition = place = "", -1
        next_offset = 0
        last: dict[TopicPartition, Record] = {}
        for record, message in zip(records, messages, strict=True):
            if record.partition != partition or record.topic != topic:
                topic, partition = place = record.topic, record.partition
                next_offset = work.positions.next_offset(place)
            offset = record.offset
            last[place] = record
            is_replay = offset < next_offset
            result.replayed += is_replay
            if is_replay and (topic, partition, offset) in abandoned:
                continue  # an operator has decided it
            outcome = self._handle(message, work, result)
            if not is_replay or isinstance(outcome, Applied | Parked) or earlier.is_missing(record):
                self._write_down(record, message.customer_id, outcome, work, result)
                if claims_to_be_redriven(record):
                    _note_redrive(record, work)
            if waiting and isinstance(message, Signup) and isinstance(outcome, Applied):
                self._apply_released(message.customer_id, work, result)
        result.reached = {place: record.offset + 1 for place, record in last.items()}
        work.positions.advance(last)
        _count(result, work)
        return result

    def give_up(self, waiting: Iterable[ParkedRecord], work: UnitOfWork) -> BatchResult:
        """Make dead letters of cancellations that are parked in the store; the caller commits."""
        result = BatchResult()
        for customer_id, record in waiting:
            work.parked.give_up(record)
            rejected = Rejected(Reason.NO_SIGNUP, "no signup of the customer was received", customer_id)
            self._write_down(record, customer_id, rejected, work, result)
        _count(result, work)
        return result

    def _handle(self, message: Message | Rejected, work: UnitOfWork, result: BatchResult) -> Outcome:
        match message:
            case Signup():
                result.unknown_industries += not message.is_industry_known
                return handle_signup(message, work)
            case Cancellation():
                return handle_cancellation(message, work)
            case Rejected():
                return message

    def _apply_released(self, customer_id: str | None, work: UnitOfWork, result: BatchResult) -> None:
        for record in work.parked.release(customer_id or ""):
            message = self._decode(record)
            self._write_down(record, message.customer_id, self._handle(message, work, result), work, result)

    def _write_down(
        self, record: Record, customer_id: str | None, outcome: Outcome, work: UnitOfWork, result: BatchResult
    ) -> None:
        """Record the decision: of an applied record with its effect, else in the journal."""
        reason = None
        if isinstance(outcome, Applied):
            if outcome.event is None:
                work.signups[customer_id or ""] = (record.topic, record.partition, record.offset)
            else:
                work.outbox.append(self._composer.churned(outcome.event, cause=record))
                result.lost_arr += outcome.event.lost_arr
            return
        if isinstance(outcome, Rejected):
            reason = outcome.reason.value
            work.outbox.append(self._composer.dead_letter(record, outcome))
            result.rejected.append((record, outcome))
        work.journal.append(
            JournalRow(record.topic, record.partition, record.offset, customer_id, outcome.name, reason)
        )


def _count(result: BatchResult, work: UnitOfWork) -> None:
    applied = [topic for topic, _, _ in work.signups.values()]
    applied += [message.cause[0] for message in work.outbox if message.cause is not None]
    result.decided = Counter([(row.topic, row.outcome) for row in work.journal])
    result.decided += Counter({(topic, APPLIED.name): count for topic, count in Counter(applied).items()})


def _note_redrive(record: Record, work: UnitOfWork) -> None:
    """Record the dead letter that a redriven record belongs to; the journal has its outcome."""
    letter = redriven_letter(record)
    if letter is not None:
        digest = sha256(record.value or b"").hexdigest()
        work.redrives.append(Redrive(letter, record.topic, record.partition, record.offset, digest))

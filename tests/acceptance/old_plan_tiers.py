"""The command line of a bad deploy: a worker that does not know the tier `custom`."""

from __future__ import annotations

from collections.abc import Sequence

from domain.customer import PlanTier
from worker.cli.main import main
from worker.messages.inbound import Decoder
from worker.messages.message import Message, Refused, Signup
from worker.messages.record import Record, RecordSource, UnpackedRecord, plain
from worker.messages.rejection import Reason, Rejected

WHY = "plan_tier is not one of free, starter, growth, enterprise"
_decode = Decoder.decode


def _decode_as_before(decoder: Decoder, record: Record, source: RecordSource | None = None) -> Message:
    message = _decode(decoder, record, source)
    if isinstance(message, Signup) and message.plan_tier is PlanTier.CUSTOM:
        rejected = Rejected(Reason.UNKNOWN_PLAN_TIER, WHY, message.customer_id)
        return Refused(record, message.offset, message.size, message.is_redriven, rejected)
    return message


def _decode_all_as_before(decoder: Decoder, records: Sequence[UnpackedRecord], source: RecordSource) -> list[Message]:
    return [decoder.decode(plain(source.topic_partition, record), source) for record in records]


if __name__ == "__main__":
    Decoder.decode_all = _decode_all_as_before  # type: ignore[assignment,method-assign]
    Decoder.decode = _decode_as_before  # type: ignore[assignment,method-assign]
    main()

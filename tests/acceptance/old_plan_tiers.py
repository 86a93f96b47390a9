"""The command line of a bad deploy: a worker that does not know the tier `custom`."""

from __future__ import annotations

from collections.abc import Sequence

from domain.customer import PlanTier
from worker.cli.main import main
from worker.messages.inbound import Decoder, Message, Signup
from worker.messages.record import Record
from worker.messages.rejection import Reason, Rejected

WHY = "plan_tier is not one of free, starter, growth, enterprise"
_decode = Decoder.decode


def _decode_as_before(decoder: Decoder, record: Record) -> Message | Rejected:
    message = _decode(decoder, record)
    if isinstance(message, Signup) and message.plan_tier is PlanTier.CUSTOM:
        return Rejected(Reason.UNKNOWN_PLAN_TIER, WHY, message.customer_id)
    return message


def _decode_all_as_before(decoder: Decoder, records: Sequence[Record]) -> list[Message | Rejected]:
    return [decoder.decode(record) for record in records]


if __name__ == "__main__":
    Decoder.decode_all = _decode_all_as_before  # type: ignore[assignment,method-assign]
    Decoder.decode = _decode_as_before  # type: ignore[assignment,method-assign]
    main()

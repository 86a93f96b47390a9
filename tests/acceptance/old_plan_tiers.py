"""The command line of a bad deploy: a worker that does not know the tier `custom`."""

from __future__ import annotations

from domain.customer import PlanTier
from worker.cli import main
from worker.fields import refuse
from worker.messages import Decoder, Message, Signup
from worker.outcomes import Reason
from worker.records import Record

_message = Decoder._message


def _message_of_old(decoder: Decoder, record: Record, value: bytes) -> Message:
    message = _message(decoder, record, value)
    if isinstance(message, Signup) and message.plan_tier is PlanTier.CUSTOM:
        refuse("plan_tier is not one of free, starter, growth, enterprise", Reason.UNKNOWN_PLAN_TIER)
    return message


if __name__ == "__main__":
    Decoder._message = _message_of_old  # type: ignore[assignment,method-assign]
    main()

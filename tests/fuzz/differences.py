"""Differences between the readings of a fetch: messages, reasons of rejections, dead letters and events as bytes."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import astuple

from tests.fuzz.fetches import Fetch
from tests.fuzz.outgoing import outgoing_differences
from tests.fuzz.readings import DECODERS, Said, read_by_oracle, read_fast, read_plain, read_records, sent_records
from tests.fuzz.returned import returned_differences
from tests.support.envelope import Refused as OracleRefused
from tests.support.reading import Cancellation, Signup
from worker.messages.inbound import stated_mrr
from worker.messages.message import Cancellation as CancellationMessage
from worker.messages.message import Message, Refused
from worker.messages.message import Signup as SignupMessage
from worker.messages.record import PlainRecord


@dataclass(slots=True)
class Difference:
    """A difference, and the offset of its record; None if it concerns the whole fetch."""

    offset: int | None
    text: str


@dataclass(slots=True)
class Findings:
    """Outcomes of the records read, and the first difference if there is one."""

    outcomes: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    events: int = 0


def compare(fetch: Fetch, findings: Findings) -> Difference | None:
    """Read the fetch in all ways; return the first difference."""
    try:
        return next(_differences(fetch, findings), None)
    except Exception as error:  # noqa: BLE001 - none is expected, whatever a record contains
        return Difference(None, f"raised {type(error).__name__}: {error}")


def _differences(fetch: Fetch, findings: Findings) -> Iterator[Difference]:
    data, sent = fetch.data(), sent_records(fetch)
    fast = read_fast(fetch, data)
    if [message.offset for message in fast] != [record.offset for record in sent]:
        yield Difference(None, "not the records that are visible")
        return
    if fetch.is_read_again:
        received = read_records(fetch, data)
        for offset, text in returned_differences(sent, received, fast, DECODERS[fetch.accept_framed]):
            yield Difference(offset, text)
    plain, said = read_plain(fetch, sent), read_by_oracle(fetch, sent)
    for record, message, other, wanted in zip(sent, fast, plain, said, strict=True):
        for text in _of_record(record, message, other, wanted):
            yield Difference(record.offset, text)
        _count(fetch, message, findings)
    found = outgoing_differences(fetch, list(zip(sent, fast, plain, said, strict=True)))
    findings.events += found.events
    for offset, text in found.differences:
        yield Difference(offset, text)


def _of_record(record: PlainRecord, message: Message, plain: Message, said: Said) -> Iterator[str]:
    if type(message) is not type(plain) or astuple(message)[1:] != astuple(plain)[1:]:
        yield f"where it is unpacked: {message}; by the plain path: {plain}"
    if (problem := _CHECKS[type(said)](message, said)) is not None:
        yield f"{problem}; decoded as {message}; by the oracle: {said!r}"
    if isinstance(message, Refused):
        if message.record() != record:
            yield f"its source returns {message.record()}"
        stated_mrr(record)


def _check_signup(message: Message, said: Any) -> str | None:
    if not isinstance(message, SignupMessage):
        return "not accepted"
    found = Signup(
        message.customer_id, message.industry.value, message.plan_tier.value, message.signup_date, message.mrr.amount
    )
    return None if found == said else "another signup"


def _check_cancellation(message: Message, said: Any) -> str | None:
    """Compare what the customer sees; the headers of the event are compared as they are published."""
    if not isinstance(message, CancellationMessage):
        return "not accepted"
    found = message.customer_id, message.cancellation_date, message.reason
    return None if found == (said.customer_id, said.cancellation_date, said.reason) else "another cancellation"


def _check_refused(message: Message, said: Any) -> str | None:
    if not isinstance(message, Refused):
        return f"not refused as {said.reason}"
    if message.rejected.reason.value != said.reason:
        return f"not refused as {said.reason}"
    return None if message.customer_id == said.customer_id else f"not of the customer {said.customer_id}"


_CHECKS: dict[type, Callable[[Message, Any], str | None]] = {
    Signup: _check_signup,
    Cancellation: _check_cancellation,
    OracleRefused: _check_refused,
}


def _count(fetch: Fetch, message: Message, findings: Findings) -> None:
    if isinstance(message, Refused):
        findings.outcomes[f"{fetch.kind} {message.rejected.reason.value}"] += 1
        findings.messages[message.rejected.message] += 1
    else:
        findings.outcomes[f"{fetch.kind} accepted"] += 1

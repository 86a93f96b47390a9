"""Values nested too deep are refused at a fixed depth, on every call stack and on both paths."""

import base64
from collections.abc import Callable

import pytest

from tests.support.builders import (
    MAX_BYTES,
    SIGNUPS,
    STRUCTURED_TYPE,
    record,
    signup_value,
    structured_value,
)
from worker.messages.inbound import Decoder, stated_mrr
from worker.messages.message import Message, Refused, Signup
from worker.messages.nesting import MAX_DEPTH, is_too_deep
from worker.messages.record import PlainRecord
from worker.messages.rejection import Reason

DECODER = Decoder(SIGNUPS, MAX_BYTES)
FORMS: dict[str, Callable[[int], str]] = {
    "arrays": lambda depth: "[" * depth + "]" * depth,
    "objects": lambda depth: '{"a":' * depth + "1" + "}" * depth,
    "siblings": lambda depth: "[" + "[]," * 300 + "[" * (depth - 1) + "]" * (depth - 1) + "]",
}
BRACKETS_IN_TEXT = '"' + r"\"[[{" * 200 + '"'


def nested(depth: int, form: str = "arrays") -> bytes:
    """Return a signup whose deepest place is so deep; its own object is the first level."""
    return signup_value(note=FORMS[form](depth - 1))


def require_malformed(message: Message) -> None:
    assert isinstance(message, Refused), message
    assert message.rejected.reason is Reason.MALFORMED
    assert message.rejected.message == "the value is nested too deep"


def together(received: PlainRecord) -> Message:
    [message] = DECODER.decode_all([received], received)
    return message


@pytest.mark.parametrize("decode", [DECODER.decode, together], ids=["alone", "where it is unpacked"])
@pytest.mark.parametrize("form", FORMS)
def test_values_are_refused_from_a_fixed_depth(form: str, decode: Callable[[PlainRecord], Message]) -> None:
    assert isinstance(decode(record(nested(MAX_DEPTH, form))), Signup)
    require_malformed(decode(record(nested(MAX_DEPTH + 1, form))))


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 500, 900])
def test_outcome_is_the_same_on_every_call_stack(depth: int) -> None:
    received = record(nested(depth))

    def deeper(frames: int) -> Message:
        return deeper(frames - 1) if frames else DECODER.decode(received)

    assert deeper(500) == deeper(0)


def test_brackets_in_text_do_not_count() -> None:
    assert isinstance(DECODER.decode(record(signup_value(note=BRACKETS_IN_TEXT))), Signup)
    assert is_too_deep(signup_value(note=f"[{BRACKETS_IN_TEXT}, {FORMS['arrays'](MAX_DEPTH)}]"))


def test_an_event_counts_as_the_first_level() -> None:
    for value, is_accepted in (
        (structured_value(nested(MAX_DEPTH - 1)), True),
        (structured_value(nested(MAX_DEPTH)), False),
        (encoded(nested(MAX_DEPTH)), True),
        (encoded(nested(MAX_DEPTH + 1)), False),
    ):
        message = DECODER.decode(record(value, headers=STRUCTURED_TYPE))
        assert isinstance(message, Signup if is_accepted else Refused)


def encoded(data: bytes) -> bytes:
    return structured_value(None, data_base64=f'"{base64.b64encode(data).decode()}"')


def test_mrr_of_a_value_nested_too_deep_is_not_stated() -> None:
    assert stated_mrr(record(nested(MAX_DEPTH))) is not None
    assert stated_mrr(record(nested(MAX_DEPTH + 1))) is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", [rb"\"", b"\\", b'"', b'""', b"x"], ids=repr)
def test_time_for_an_unclosed_text_is_linear(text: bytes) -> None:
    value = b"[" * (MAX_DEPTH + 1) + b']"' + text * (500_000 // len(text))
    assert is_too_deep(value)
    assert not is_too_deep(b'"' + text * (500_000 // len(text)) + b"[" * MAX_DEPTH)

"""The fast paths give the same results as the plain ones, for every input."""

import json
import re
import uuid
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.customer import Industry, PlanTier
from tests.support.builders import (
    ADA,
    CANCELLATIONS,
    MAX_BYTES,
    SIGNUPS,
    STRUCTURED_TYPE,
    cancellation,
    cancellation_value,
    record,
    signup,
    signup_value,
    structured_value,
)
from worker.messages import inbound
from worker.messages.cloudevents import JSON
from worker.messages.dead_letter import REDRIVE_COUNT
from worker.messages.fast_path import usual_cancellation, usual_signup
from worker.messages.inbound import Decoder
from worker.messages.message import Cancellation
from worker.messages.record import Header
from worker.messages.uuid_fast_path import are_canonical_uuids, is_canonical_uuid, uuid5

DECODER = Decoder(SIGNUPS, MAX_BYTES)
CANONICAL_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ODD_IDS = [
    ADA.upper(), ADA.replace("-", ""), f" {ADA}", f"{ADA}\n", ADA.replace("6", "٦"), ADA.replace("-", "_"), "é" * 36,
]  # fmt: skip
ODD_DAYS = [
    "2026-02-29", "2026-1-5", "20260105", "0000-01-01", "2026-W01-1", "٢026-01-01", "2026-01-15T23:59:60Z",
    "2026-01-15T00:00:00+14:00", "2026-01-15t00:00:00.5z", "2026-01-15T00:00:00", " 2026-01-15",
]  # fmt: skip
ODD_AMOUNTS = [
    "", "1_000", " 1", "1\n", "٣", "NaN", "Infinity", "-0", "-1", ".5", "5.", "+5", "1e-7", "1E3", "0.0000005",
    "999999999999.999999", "999999999999.9999999", "1.0000005", "1000000000000", "9" * 400,
]  # fmt: skip
NUMBERS = ["0", "499.5", "1e3", "1e-7", "1000000000000", "999999999999.9999999", "-0", "-1"]
TOKENS = ["null", "true", "{}", "[]", "0", "-1", "1e400", "NaN", '""', '"\\u0000"', '"\\ud800"', '"x', "", "9" * 400]
"""What can stand in place of any member's value."""
ANYTHING = st.sampled_from(TOKENS)


def texts(of: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Generate the texts as JSON, with and without escapes."""
    return st.builds(lambda text, ascii_only: json.dumps(text, ensure_ascii=ascii_only), of, st.booleans())


IDS = texts(st.uuids().map(str) | st.sampled_from(ODD_IDS))
DAYS = texts(st.dates().map(str) | st.datetimes().map(lambda at: f"{at.isoformat()}Z") | st.sampled_from(ODD_DAYS))
DECIMALS = st.from_regex(r"-?[0-9]{1,13}(\.[0-9]{1,7})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
AMOUNTS = st.decimals(0, 10**12, places=6).map(str) | DECIMALS | st.sampled_from(ODD_AMOUNTS)
REASONS = st.text(max_size=3) | st.integers(198, 202).map(lambda length: "😀" * length)
USD = st.just('"USD"')


@st.composite
def objects(draw: st.DrawFn, usual: dict[str, st.SearchStrategy[str]], odd: dict[str, st.SearchStrategy[str]]) -> str:
    """Generate a JSON object in any order: at most one member odd, one missing, and one repeated or unknown."""
    pairs = {name: draw(token) for name, token in usual.items()}
    for name in draw(st.lists(st.sampled_from(list(usual)), max_size=1)):
        pairs[name] = draw(odd.get(name, ANYTHING) | ANYTHING)
    shuffled = draw(st.permutations(list(pairs.items())))
    shuffled = shuffled[draw(st.sampled_from([0, 0, 0, 0, 0, 1])) :]
    more = draw(st.lists(st.tuples(st.sampled_from([*usual, "note", "is_industry_known"]), ANYTHING), max_size=1))
    return "{" + ", ".join(f'"{name}": {token}' for name, token in shuffled + more) + "}"


MONEY = objects({"amount": texts(AMOUNTS), "currency": USD}, {"currency": texts(st.sampled_from(["usd", "EUR"]))})
SIGNUP_VALUES = objects(
    {
        "customer_id": texts(st.uuids().map(str)),
        "industry": texts(st.sampled_from(list(Industry))),
        "plan_tier": texts(st.sampled_from(list(PlanTier))),
        "signup_date": texts(st.dates().map(str)),
        "mrr": MONEY,
    },
    {
        "customer_id": IDS,
        "industry": texts(st.sampled_from(["fintech", "HR TECH", "Space", ""])),
        "plan_tier": texts(st.sampled_from(["Growth", "gold", ""])),
        "signup_date": DAYS,
        "mrr": texts(AMOUNTS) | AMOUNTS,
    },
)
CANCELLATION_VALUES = objects(
    {
        "customer_id": texts(st.uuids().map(str)),
        "cancellation_date": texts(st.dates().map(str)),
        "reason": texts(REASONS) | st.just("null"),
    },
    {"customer_id": IDS, "cancellation_date": DAYS},
)


def damaged(values: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Generate the values, some of them cut off, followed by something, inside an event, or not JSON at all."""
    whole = values.map(lambda text: text.encode(errors="surrogatepass"))
    return st.one_of(
        whole, whole, whole, whole, whole,
        st.builds(lambda value, length: value[:length], whole, st.integers(0, 400)),
        st.builds(lambda value, end: value + end, whole, st.sampled_from([b" \n", b"x", b"{}", b"\xff"])),
        values.map(lambda text: structured_value(text.encode("ascii", "ignore"))),
        st.binary(max_size=40),
    )  # fmt: skip


def assert_alike(value: bytes, topic: str) -> None:
    """Decode the value with and without the fast path."""
    fast = DECODER.decode(record(value, topic))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inbound, "usual_signup", lambda *_: None)
        patched.setattr(inbound, "usual_cancellation", lambda *_: None)
        plain = DECODER.decode(record(value, topic))
    assert fast == plain


@pytest.mark.parametrize(("name", "odd"), [
    ("customer_id", ODD_IDS), ("industry", ["fintech", "Space", ""]), ("plan_tier", ["Growth", "gold", ""]),
    ("signup_date", ODD_DAYS), ("mrr", ODD_AMOUNTS), ("amount", ODD_AMOUNTS), ("currency", ["usd", "EUR", ""]),
])  # fmt: skip
def test_signup_with_an_odd_member_decodes_equally(name: str, odd: list[str]) -> None:
    money = {"amount": '"499.00"', "currency": '"USD"'}
    for token in [*map(json.dumps, odd), *NUMBERS, *TOKENS]:
        if name in money:
            parts = ", ".join(f'"{part}": {each}' for part, each in (money | {name: token}).items())
            assert_alike(signup_value(mrr=f"{{{parts}}}"), SIGNUPS)
        else:
            assert_alike(signup_value(**{name: token}), SIGNUPS)


@pytest.mark.parametrize(
    ("name", "odd"),
    [("customer_id", ODD_IDS), ("cancellation_date", ODD_DAYS), ("reason", ["", "é" * 200, "😀" * 200, "é" * 201])],
)
def test_cancellation_with_an_odd_member_decodes_equally(name: str, odd: list[str]) -> None:
    for token in [*map(json.dumps, odd), *(json.dumps(each, ensure_ascii=False) for each in odd), *TOKENS]:
        assert_alike(cancellation_value(**{name: token}), CANCELLATIONS)


@given(damaged(SIGNUP_VALUES))
def test_any_signup_decodes_equally_on_both_paths(value: bytes) -> None:
    assert_alike(value, SIGNUPS)


@given(damaged(CANCELLATION_VALUES))
def test_any_cancellation_decodes_equally_on_both_paths(value: bytes) -> None:
    assert_alike(value, CANCELLATIONS)


ANY_HEADERS = st.sampled_from([
    [], [JSON], STRUCTURED_TYPE, [*STRUCTURED_TYPE, ("x", b"")], [JSON, (REDRIVE_COUNT, b"1")], [("ce_id", b"7"), JSON],
])  # fmt: skip


@given(st.lists(st.tuples(damaged(SIGNUP_VALUES), ANY_HEADERS), max_size=12))
def test_many_signups_decode_as_each_does(received: list[tuple[bytes, list[Header]]]) -> None:
    assert_all_alike(received, SIGNUPS)


@given(st.lists(st.tuples(damaged(CANCELLATION_VALUES), ANY_HEADERS), max_size=12))
def test_many_cancellations_decode_as_each_does(received: list[tuple[bytes, list[Header]]]) -> None:
    assert_all_alike(received, CANCELLATIONS)


def assert_all_alike(received: Sequence[tuple[bytes | None, list[Header]]], topic: str) -> None:
    """Decode the records of a source together, and each by itself."""
    records = [record(value, topic, offset, headers=headers) for offset, (value, headers) in enumerate(received)]
    source = record(None, topic, 99)
    assert DECODER.decode_all(records, source) == [DECODER.decode(each, source) for each in records]


@pytest.mark.parametrize("odd", [
    signup_value(customer_id=f'"{ADA[:-1]}"'), signup_value(customer_id=f'"{ADA}7"'),
    signup_value(customer_id=json.dumps(f"{ADA}\n{ADA}")), signup_value(customer_id='""'),
    signup_value(mrr='{"amount": "1\\n2", "currency": "USD"}'), signup_value(mrr='{"amount": "", "currency": "USD"}'),
    b"{}", b"", b"\xff", b"[" * 100_000, b"x" * (MAX_BYTES + 1), signup_value(industry='"Caf\u00e9"'),
    structured_value(signup_value()),
])  # fmt: skip
def test_an_odd_signup_among_many_decodes_as_by_itself(odd: bytes) -> None:
    usual = signup_value()
    # Of an id or amount that is too short and another that is too long, each is refused.
    for values in ([usual, odd, usual], [odd, odd], [signup_value(customer_id=f'"{ADA[:-1]}"'), odd, usual]):
        plain = [(value, list[Header]()) for value in values]
        assert_all_alike([*plain, (None, []), (structured_value(usual), STRUCTURED_TYPE)], SIGNUPS)


def test_the_usual_spelling_of_many_takes_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    source = record(None)
    records = [record(signup_value(), offset=offset) for offset in range(600)]
    expected = [DECODER.decode(each, source) for each in records]
    monkeypatch.setattr(Decoder, "decode", None)
    assert DECODER.decode_all(records, source) == expected


def test_the_usual_spelling_takes_the_fast_path() -> None:
    received, value = signup(3), signup_value()
    assert usual_signup(value, (received, 3, len(value), False)) == DECODER.decode(received)
    received, value = cancellation(4, reason='"moved"'), cancellation_value(reason='"moved"')
    assert usual_cancellation(value, (received, 4, len(value), False), received) == DECODER.decode(received)
    assert isinstance(DECODER.decode(received), Cancellation)


NEAR_UUIDS = st.builds(
    lambda each, index, character: f"{str(each)[:index]}{character}{str(each)[index + 1 :]}",
    st.uuids(), st.integers(0, 36), st.sampled_from("0af-AFGg/:@`é٣\n") | st.characters(),
)  # fmt: skip


@given(NEAR_UUIDS | st.sampled_from(ODD_IDS) | st.text())
@example(ADA)
@example("0" * 36)
@example("0-" * 18)
def test_a_canonical_uuid_is_recognised_as_by_its_definition(text: str) -> None:
    assert is_canonical_uuid(text) == bool(CANONICAL_UUID.fullmatch(text))


@given(st.lists(NEAR_UUIDS | st.sampled_from([ADA, ADA[:-1], f"7{ADA}", f"{ADA}\n{ADA}", ""]), max_size=4))
@example([ADA[:-1], f"7{ADA}"])
@example([f"{ADA}\n{ADA}", ""])
@example([f"{ADA[:7]}-{ADA[7]}{ADA[9:]}"])
def test_canonical_uuids_are_recognised_at_once(texts: list[str]) -> None:
    assert are_canonical_uuids(texts) == all(map(is_canonical_uuid, texts))


@given(st.uuids(), st.text(st.characters(exclude_categories=["Cs"])))
def test_uuid5_equals_the_standard_library_s(namespace: uuid.UUID, name: str) -> None:
    assert uuid5(namespace.bytes, name) == str(uuid.uuid5(namespace, name))

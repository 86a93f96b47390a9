"""The schemas agree with the worker: it accepts every valid message, and the examples are valid."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from worker.messages import schemas
from worker.messages.inbound import Decoder
from worker.messages.message import Refused
from worker.messages.record import PlainRecord
from worker.messages.validation import MAX_REASON_CHARACTERS

CUSTOMER = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
SIGNUP: dict[str, Any] = {
    "customer_id": CUSTOMER,
    "industry": "FinTech",
    "plan_tier": "growth",
    "signup_date": "2026-01-15",
    "mrr": {"amount": "499.00", "currency": "USD"},
}
CANCELLATION: dict[str, Any] = {"customer_id": CUSTOMER, "cancellation_date": "2026-06-30", "reason": None}
DECODER = Decoder("customer.signup", 65_536)


def schema_accepts(name: str, message: object) -> bool:
    validator = Draft202012Validator(schemas.schema(name), format_checker=Draft202012Validator.FORMAT_CHECKER)
    return bool(validator.is_valid(message))


def worker_accepts(name: str, message: object) -> bool:
    record = PlainRecord(f"customer.{name}", 0, 0, 0, None, json.dumps(message).encode(), [])
    return not isinstance(DECODER.decode(record), Refused)


@pytest.mark.parametrize("name", list(schemas.MESSAGES))
def test_schemas_are_valid_json_schemas(name: str) -> None:
    Draft202012Validator.check_schema(schemas.schema(name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("signup", SIGNUP),
        ("signup", SIGNUP | {"mrr": "499"}),
        ("signup", SIGNUP | {"mrr": 499.5, "plan_tier": "Enterprise", "industry": "SpaceTech", "extra": [1]}),
        ("signup", SIGNUP | {"signup_date": "2026-01-15T10:00:00+02:00", "customer_id": CUSTOMER.upper()}),
        ("cancellation", CANCELLATION),
        ("cancellation", CANCELLATION | {"reason": "too_expensive"}),
    ],
)
def test_schema_and_worker_accept_the_message(name: str, message: dict[str, Any]) -> None:
    assert schema_accepts(name, message)
    assert worker_accepts(name, message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("signup", SIGNUP | {"customer_id": "42"}),
        ("signup", SIGNUP | {"industry": 7}),
        ("signup", SIGNUP | {"plan_tier": "platinum"}),
        ("signup", SIGNUP | {"signup_date": "15.01.2026"}),
        ("signup", SIGNUP | {"signup_date": "2026-02-30"}),
        ("signup", SIGNUP | {"mrr": "-1"}),
        ("signup", SIGNUP | {"mrr": -1}),
        ("signup", SIGNUP | {"mrr": "1_000"}),
        ("signup", SIGNUP | {"mrr": {"amount": "1", "currency": "EUR"}}),
        ("signup", SIGNUP | {"mrr": {"amount": "1"}}),
        ("cancellation", CANCELLATION | {"reason": "x" * (MAX_REASON_CHARACTERS + 1)}),
        ("cancellation", {"customer_id": CUSTOMER}),
    ],
)
def test_schema_and_worker_reject_the_message(name: str, message: dict[str, Any]) -> None:
    assert not schema_accepts(name, message)
    assert not worker_accepts(name, message)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10**13),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-10, max_value=1e13),
    st.text(max_size=20),
    st.sampled_from(
        ["2026-01-15", "2026-13-01", "2026-01-15T23:59:60Z", "2026-01-15t10:00:00z", "0", "1.5", "٣", "1e3"]
    ),
    st.fixed_dictionaries(
        {"amount": st.sampled_from(["1", 1, "x", None]), "currency": st.sampled_from(["USD", "usd"])}
    ),
)


@given(st.sampled_from(sorted(SIGNUP)), values)
def test_worker_accepts_each_signup_valid_by_the_schema(field: str, value: object) -> None:
    message = SIGNUP | {field: value}
    assert worker_accepts("signup", message) or not schema_accepts("signup", message)


@given(st.sampled_from(sorted(CANCELLATION)), values)
def test_worker_accepts_each_cancellation_valid_by_the_schema(field: str, value: object) -> None:
    message = CANCELLATION | {field: value}
    assert worker_accepts("cancellation", message) or not schema_accepts("cancellation", message)

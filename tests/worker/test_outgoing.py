"""Published records byte for byte, with ids that do not depend on when they are made."""

import json
import re
import uuid
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest

from domain.customer import MRR, CustomerChurned, Industry, PlanTier
from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    NOON_MS,
    SIGNUPS,
    STRUCTURED_TYPE,
    cancellation,
    cancellation_value,
    cancelled,
    composer,
    record,
    structured_value,
)
from tests.support.published import published
from worker import __version__
from worker.messages.churned_event import DATASCHEMA, churned_id
from worker.messages.composer import Composer
from worker.messages.dead_letter import dead_letter_id
from worker.messages.record import Header, PlainRecord
from worker.messages.rejection import Reason, Rejected

CHURNED = CustomerChurned(
    customer_id=ADA,
    signup_date=date(2026, 1, 15),
    churn_date=date(2026, 6, 30),
    tenure_days=166,
    is_early_stage=False,
    industry=Industry.FINTECH,
    plan_tier=PlanTier.GROWTH,
    mrr=MRR(Decimal("499.00")),
    lost_arr=Decimal("5988.00"),
    reason="too_expensive",
)
REJECTED = Rejected(Reason.ALREADY_CHURNED, "the customer churned before, on another date", ADA)


def the(name: str, headers: Sequence[Header]) -> bytes | None:
    (value,) = [value for each, value in headers if each == name]
    return value


# customer.churned


def test_churn_is_keyed_by_its_customer() -> None:
    message = composer().churned(CHURNED, cancelled(cancellation(7)))
    key, headers = published(message)
    assert (message.topic, message.partition, key) == ("customer.churned", None, ADA.encode())
    assert (message.id, message.customer_id) == (churned_id(ADA), ADA)
    assert json.loads(message.value or b"") == {
        "customer_id": ADA, "signup_date": "2026-01-15", "churn_date": "2026-06-30", "tenure_days": 166,
        "is_early_stage": False, "industry": "FinTech", "plan_tier": "growth",
        "mrr": {"amount": "499.00", "currency": "USD"}, "lost_arr": {"amount": "5988.00", "currency": "USD"},
        "reason": "too_expensive",
    }  # fmt: skip
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": churned_id(ADA).encode(),
        "ce_source": b"/customers",
        "ce_type": b"customer.churned",
        "ce_time": b"2026-06-30T12:00:00.000Z",
        "ce_subject": ADA.encode(),
        "ce_dataschema": DATASCHEMA,
        "ce_causationid": b"customer.cancellation/0/7",
        "content-type": b"application/json",
    }
    assert len(headers) == 9


def test_churn_carries_headers_of_a_binary_cancellation() -> None:
    said: list[Header] = [
        ("ce_id", "évt-😀".encode()),
        ("ce_time", b"2026-06-30T11:59:59.5+02:00"),
        ("ce_correlationid", b"corr-1"),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", b"vendor=1"),
    ]
    others: list[Header] = [
        ("ce_specversion", b"1.0"), ("ce_source", b"/billing"), ("ce_type", b"x"), ("ce_subject", b"y"),
        ("ce_dataschema", b"z"), ("content-type", b"application/json"), ("x", b"1"), ("reply_to", b"t"),
    ]  # fmt: skip
    cause = cancelled(record(cancellation_value(), CANCELLATIONS, headers=said + others))
    _, headers = published(composer().churned(CHURNED, cause))
    assert len(headers) == len(dict(headers)) == 12
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": churned_id(ADA).encode(),
        "ce_source": b"/customers",
        "ce_type": b"customer.churned",
        "ce_time": b"2026-06-30T09:59:59.5Z",
        "ce_subject": ADA.encode(),
        "ce_dataschema": DATASCHEMA,
        "ce_causationid": "évt-😀".encode(),
        "ce_correlationid": b"corr-1",
        "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": b"vendor=1",
        "content-type": b"application/json",
    }


def test_churn_carries_attributes_of_a_structured_cancellation() -> None:
    value = structured_value(cancellation_value(), id='"evt-9"', time='"2026-06-30T01:02:03Z"', correlationid='"c"')
    cause = cancelled(record(value, CANCELLATIONS, headers=STRUCTURED_TYPE))
    _, headers = published(composer().churned(CHURNED, cause))
    assert the("ce_causationid", headers) == b"evt-9"
    assert the("ce_time", headers) == b"2026-06-30T01:02:03Z"
    assert the("ce_correlationid", headers) == b"c"
    assert the("content-type", headers) == b"application/json"


def test_the_schema_is_named_by_a_uri_with_its_major_version() -> None:
    assert re.fullmatch(r"[a-z]+:[!-~]+[:/]1", DATASCHEMA.decode())


def test_the_id_of_a_churn_is_a_uuidv5_that_never_changes() -> None:
    assert uuid.UUID(churned_id(ADA)).version == 5
    # Frozen: another id would be a second event to every reader of what was published before.
    assert churned_id(ADA) == "2c6034b3-2386-5940-9708-31362a96adfe"
    assert churned_id(ADA) != churned_id(BOB)


def test_churn_id_is_the_uuidv5_of_the_standard_library() -> None:
    namespace = uuid.UUID("5b0c6a52-9d1e-5f6b-8f6a-2c1d7f0e4a11")
    for number in range(200):
        customer_id = str(uuid.UUID(int=number * 0x123456789ABCDEF0123456789ABCDEF % 2**128))
        assert churned_id(customer_id) == str(uuid.uuid5(namespace, customer_id))


def test_churn_id_depends_on_the_customer_only() -> None:
    other = CHURNED._replace(churn_date=date(2026, 7, 1), tenure_days=167, reason=None, mrr=MRR(Decimal(1)))
    elsewhere = record(cancellation_value(BOB), "other", 99, partition=7, timestamp=1, headers=[("ce_id", b"x")])
    assert (
        composer().churned(other, cancelled(elsewhere)).id == composer().churned(CHURNED, cancelled(cancellation(7))).id
    )


def test_topic_and_source_are_those_of_the_settings() -> None:
    elsewhere = Composer(churned_topic="eu.churned", dead_letter_suffix=".dead", group_id="eu")
    message = elsewhere.churned(CHURNED, cancelled(cancellation(7)))
    assert message.topic == "eu.churned"
    assert the("ce_source", published(message, "/eu")[1]) == b"/eu"
    letter = elsewhere.dead_letter(cancellation(7), REJECTED)
    assert letter.topic == "customer.cancellation.dead"
    assert the("__dlq.errors.group", letter.headers) == b"eu"


# Dead letters

AS_RECEIVED: list[Header] = [
    ("x", b"1"), ("y", None), ("x", b"2"), ("", b""),
    ("ce_id", b"\xff\xfe"), ("bad\udcff", b"\x00"), ("reply_to", b"t"),
]  # fmt: skip


def received(headers: Sequence[Header] = (), value: bytes | None = b"\xff\x00garbage") -> PlainRecord:
    return record(value, SIGNUPS, 42, partition=3, key=b"\x00key\xff", headers=headers)


def test_dead_letter_is_the_received_record_with_its_reason() -> None:
    letter = composer().dead_letter(received(AS_RECEIVED), REJECTED)
    assert (letter.topic, letter.partition) == ("customer.signup-dlt", 3)
    assert (letter.key, letter.value, letter.customer_id) == (b"\x00key\xff", b"\xff\x00garbage", ADA)
    assert letter.headers == [
        *AS_RECEIVED,
        ("__dlq.errors.topic", b"customer.signup"),
        ("__dlq.errors.partition", b"3"),
        ("__dlq.errors.offset", b"42"),
        ("__dlq.errors.timestamp", str(NOON_MS).encode()),
        ("__dlq.errors.group", b"customer-worker"),
        ("__dlq.errors.reason", b"already_churned"),
        ("__dlq.errors.message", b"the customer churned before, on another date"),
        ("__dlq.errors.app.version", __version__.encode()),
        ("__dlq.errors.redrive.count", b"0"),
    ]


def test_tombstone_without_key_is_kept() -> None:
    letter = composer().dead_letter(record(None, SIGNUPS), Rejected(Reason.EMPTY, "the record has no value"))
    assert (letter.key, letter.value, letter.customer_id) == (None, None, None)


@pytest.mark.parametrize("count", [b"1", b"17"])
def test_rejected_redrive_replaces_headers_and_keeps_its_count(count: bytes) -> None:
    first = composer().dead_letter(received(AS_RECEIVED), Rejected(Reason.INVALID, "mrr is missing"))
    redriven = [(name, count if name.endswith("redrive.count") else value) for name, value in first.headers]
    again = composer().dead_letter(record(first.value, SIGNUPS, 99, headers=redriven), REJECTED)
    names = [name for name, _ in again.headers]
    assert again.headers[: len(AS_RECEIVED)] == AS_RECEIVED
    assert [name for name in names if name.startswith("__dlq")] == names[len(AS_RECEIVED) :]
    assert len(set(names[len(AS_RECEIVED) :])) == 9 == len(names) - len(AS_RECEIVED)
    assert the("__dlq.errors.offset", again.headers) == b"99"
    assert the("__dlq.errors.reason", again.headers) == b"already_churned"
    assert the("__dlq.errors.redrive.count", again.headers) == count


def test_two_sets_of_earlier_headers_become_one() -> None:
    earlier: list[Header] = [("__dlq.errors.reason", b"invalid"), ("__dlq.errors.redrive.count", b"2")]
    letter = composer().dead_letter(received([*earlier, ("x", b""), *earlier]), REJECTED)
    assert len(letter.headers) == 10
    assert the("__dlq.errors.redrive.count", letter.headers) == b"2"


@pytest.mark.parametrize("count", [None, b"", b"-1", b"x", b"\xff", "٣".encode(), b"1e3", b"9" * 5000], ids=repr)
def test_unreadable_redrive_count_is_reset(count: bytes | None) -> None:
    letter = composer().dead_letter(received([("__dlq.errors.redrive.count", count)]), REJECTED)
    assert the("__dlq.errors.redrive.count", letter.headers) == b"0"


def test_dead_letter_id_is_coordinates_and_timestamp() -> None:
    letter = composer().dead_letter(received(), REJECTED)
    assert letter.id == f"customer.signup/3/42@{NOON_MS}"
    told = [
        the(f"__dlq.errors.{name}", letter.headers) or b"" for name in ("topic", "partition", "offset", "timestamp")
    ]
    assert dead_letter_id(*(text.decode() for text in told)) == letter.id


@pytest.mark.parametrize("other", [
    record(b"", CANCELLATIONS, 42, partition=3), record(b"", SIGNUPS, 42, partition=4),
    record(b"", SIGNUPS, 43, partition=3), record(b"", SIGNUPS, 42, partition=3, timestamp=1),
], ids=["topic", "partition", "offset", "timestamp of a topic made anew"])  # fmt: skip
def test_every_record_has_a_dead_letter_id_of_its_own(other: PlainRecord) -> None:
    assert composer().dead_letter(other, REJECTED).id != composer().dead_letter(received(), REJECTED).id

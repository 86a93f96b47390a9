"""The AsyncAPI document is valid, and describes the records that the worker reads and writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import SecretStr

from domain.customer import MRR, CustomerChurned, Industry, PlanTier
from tests.support.builders import (
    ADA,
    CANCELLATIONS,
    STRUCTURED_TYPE,
    cancellation_value,
    cancelled,
    composer,
    record,
    signup_value,
    structured_value,
)
from tests.support.node_scripts import run_node
from tests.support.published import published
from worker.kafka.topic_plans import topic_plans
from worker.messages.asyncapi import asyncapi
from worker.messages.record import Header
from worker.messages.rejection import Reason, Rejected
from worker.settings import Kafka, SchemaRegistry, Settings, Topics

ERROR = 0
DOCUMENT = asyncapi(Settings())
MESSAGES: dict[str, dict[str, Any]] = DOCUMENT["components"]["messages"]
DESCRIBED = (
    Settings(),
    Settings(kafka=Kafka(bootstrap_servers="one:9092,[::1]:9093", security_protocol="SSL")),
    Settings(
        kafka=Kafka(
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="worker",
            sasl_password=SecretStr("secret"),
        ),
        topics=Topics(signup="other.signup", dead_letter_suffix=".rejected"),
        schema_registry=SchemaRegistry(accept_framed=True),
    ),
)
TRACED: list[Header] = [
    ("ce_id", b"evt-1"),
    ("ce_time", b"2026-06-30T10:15:60.5+02:00"),
    ("ce_correlationid", b"checkout"),
    ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("tracestate", b"a=1"),
]
CHURNS = [
    CustomerChurned(
        ADA, date(2026, 1, 15), date(2026, 6, 30), 166, False, Industry.FINTECH, PlanTier.GROWTH,
        MRR(Decimal(499)), Decimal("5988.00"), "x",
    ),
    CustomerChurned(
        ADA, date(1, 1, 1), date(9999, 12, 31), 3_652_058, False, Industry.OTHER, PlanTier.CUSTOM,
        MRR(Decimal("999999999999.999999")), Decimal("11999999999999.99"), None,
    ),
]  # fmt: skip


def problems(part: dict[str, Any], value: object) -> list[str]:
    """Return the errors of a value by a schema of the document."""
    whole = {**part, "components": DOCUMENT["components"]}
    return [error.message for error in Draft7Validator(whole).iter_errors(value)]


def texts(headers: Sequence[Header]) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in headers}


def test_official_parser_finds_errors_only_in_broken_document() -> None:
    broken = json.loads(json.dumps(DOCUMENT))
    broken["operations"]["signup"]["action"] = "read"
    found = run_node("asyncapi.cjs", [json.dumps(each) for each in (broken, *map(asyncapi, DESCRIBED))])
    has_errors = [any(each["severity"] == ERROR for each in diagnostics) for diagnostics in found]
    assert has_errors == [True, *(False for _ in DESCRIBED)], found


@pytest.mark.parametrize("name", list(MESSAGES))
def test_examples_follow_their_message(name: str) -> None:
    message = MESSAGES[name]
    for example in message.get("examples", []):
        assert problems(message["payload"], example["payload"]) == []
        assert problems(message["headers"], example.get("headers", {})) == []
        assert example.get("headers", {}).keys() <= message["headers"]["properties"].keys()


def test_servers_are_those_of_the_settings() -> None:
    kafka = Kafka(
        bootstrap_servers="one:9092,two:9093",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="worker",
        sasl_password=SecretStr("secret"),
    )
    document = asyncapi(Settings(kafka=kafka))
    servers = document["servers"].values()
    assert [(each["host"], each["protocol"]) for each in servers] == [
        ("one:9092", "kafka-secure"),
        ("two:9093", "kafka-secure"),
    ]
    assert document["components"]["securitySchemes"]["sasl"]["type"] == "plain"
    assert "secret" not in json.dumps(document)


def test_channels_are_the_topics_and_their_configuration() -> None:
    settings = Settings()
    plans = {plan.name: dict(plan.exact) for plan in topic_plans(settings, {})}
    channels = {each["address"]: each["bindings"]["kafka"] for each in DOCUMENT["channels"].values()}
    assert channels.keys() == plans.keys()
    for name, binding in channels.items():
        described = binding.get("topicConfiguration", {})
        written = {key: ",".join(value) if isinstance(value, list) else str(value) for key, value in described.items()}
        assert written == plans[name], name


@pytest.mark.parametrize("event", CHURNS, ids=["usual", "largest"])
@pytest.mark.parametrize("headers", [[], TRACED], ids=["bare", "traced"])
def test_event_follows_its_message(event: CustomerChurned, headers: list[Header]) -> None:
    sent = composer().churned(event, cancelled(record(cancellation_value(), CANCELLATIONS, headers=headers)))
    key, with_common = published(sent)
    message = MESSAGES["churned"]
    assert problems(message["payload"], json.loads(sent.value or b"")) == []
    assert problems(message["headers"], texts(with_common)) == []
    assert texts(with_common).keys() <= message["headers"]["properties"].keys()
    assert problems(message["bindings"]["kafka"]["key"], (key or b"").decode()) == []


def test_correlation_id_is_where_the_document_says() -> None:
    sent = composer().churned(CHURNS[0], cancelled(record(cancellation_value(), CANCELLATIONS, headers=TRACED)))
    location = MESSAGES["churned"]["correlationId"]["location"]
    assert texts(published(sent)[1])[location.removeprefix("$message.header#/")] == "checkout"


def test_dead_letter_follows_its_message() -> None:
    received = record(b"x", CANCELLATIONS, timestamp=-1)
    letter = composer().dead_letter(received, Rejected(Reason.INVALID, "customer_id is missing"))
    headers = MESSAGES["deadLetter"]["headers"]
    assert problems(headers, texts(letter.headers)) == []
    assert texts(letter.headers).keys() == headers["properties"].keys()


def test_structured_event_follows_its_message() -> None:
    message = MESSAGES["signupStructured"]
    assert problems(message["headers"], texts(STRUCTURED_TYPE)) == []
    assert problems(message["payload"], json.loads(structured_value(signup_value()))) == []
    assert problems(message["payload"], json.loads(structured_value(None))) != []
    assert problems(message["payload"], json.loads(structured_value(signup_value(plan_tier='"no"')))) != []

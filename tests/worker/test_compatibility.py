"""`contract check` names each change that breaks producers or subscribers, and no other."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from worker.cli.main import command_line
from worker.messages.asyncapi import asyncapi
from worker.messages.compatibility import find_breaks
from worker.settings import Settings

Document = dict[str, Any]
Edit = Callable[[Document], object]
RELEASED = Path(__file__).parents[2] / "docs" / "contract" / "asyncapi.json"
CURRENT = asyncapi(Settings())
PRODUCERS = "producers of customer.signup"
SUBSCRIBERS = "subscribers of customer.churned"


def changed(edit: Edit) -> Document:
    document = copy.deepcopy(CURRENT)
    edit(document)
    return document


def schema(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]
    return found


def message(document: Document, name: str) -> Document:
    found: Document = document["components"]["messages"][name]
    return found


def add_field(document: Document, name: str, field: str, *, is_required: bool = False) -> None:
    schema(document, name)["properties"][field] = {"type": "string", "maxLength": 3}
    if is_required:
        schema(document, name)["required"].append(field)


def rename(document: Document, name: str, field: str, new: str) -> None:
    properties = schema(document, name)["properties"]
    properties[new] = properties.pop(field)
    schema(document, name)["required"] = list(properties)


def add_tier(document: Document) -> None:
    schema(document, "SignupMessage")["properties"]["plan_tier"]["anyOf"].append({"pattern": "^trial$", "maxLength": 5})


def test_contract_is_compatible_with_the_last_release() -> None:
    assert find_breaks(json.loads(RELEASED.read_text()), CURRENT) == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: None,
        add_tier,
        lambda document: add_field(document, "SignupMessage", "phone"),
        lambda document: schema(document, "SignupMessage")["required"].remove("industry"),
        lambda document: schema(document, "SignupMessage")["properties"].pop("industry"),
        lambda document: schema(document, "Amount")["anyOf"].append({"type": "null"}),
        lambda document: schema(document, "Amount")["anyOf"][2].update(maximum=1e15),
        lambda document: schema(document, "Amount")["anyOf"][0].pop("not"),
        lambda document: schema(document, "CancellationMessage")["properties"]["reason"]["anyOf"][0].update(
            maxLength=500
        ),
        lambda document: add_field(document, "ChurnedMessage", "region", is_required=True),
        lambda document: schema(document, "ChurnedMessage")["properties"]["tenure_days"].update(minimum=1),
        lambda document: schema(document, "ChurnedMessage")["properties"]["industry"].update(enum=["FinTech", "Other"]),
        lambda document: message(document, "churned")["headers"]["properties"].update(ce_partitionkey={}),
        lambda document: message(document, "deadLetter")["headers"]["required"].append("x"),
        lambda document: schema(document, "Date").update(description="another", examples=["2026-01-01"]),
        lambda document: document["info"].update(version="9.0.0"),
        lambda document: document["servers"].update(kafka={"host": "other:9092", "protocol": "kafka"}),
    ],
)
def test_compatible_change_is_accepted(edit: Edit) -> None:
    assert find_breaks(CURRENT, changed(edit)) == []


@pytest.mark.parametrize(
    ("edit", "where", "change", "breaks"),
    [
        (
            lambda document: schema(document, "SignupMessage")["required"].append("phone"),
            "signup.signup.payload.phone", "added: required", PRODUCERS,
        ),
        (
            lambda document: schema(document, "SignupMessage")["properties"]["plan_tier"]["anyOf"].pop(),
            "signup.signup.payload.plan_tier", "added: pattern", PRODUCERS,
        ),
        (
            lambda document: schema(document, "Amount")["anyOf"][0].update(maxLength=10),
            "signup.signup.payload.mrr.amount", "added: maxLength 10", PRODUCERS,
        ),
        (
            lambda document: schema(document, "Amount")["anyOf"][2].update(maximum=1000),
            "signup.signup.payload.mrr", "added: maximum 1000", PRODUCERS,
        ),
        (
            lambda document: schema(document, "OutsideTheCalendar")["anyOf"].append({"pattern": "^2026"}),
            "signup.signup.payload.signup_date", "added: not", PRODUCERS,
        ),
        (
            lambda document: schema(document, "SignupMessage").update(additionalProperties=False),
            "signup.signup.payload", "added: additionalProperties false", PRODUCERS,
        ),
        (
            lambda document: message(document, "signup")["headers"].update(required=["ce_id"]),
            "signup.signup.headers.ce_id", "added: required", PRODUCERS,
        ),
        (
            lambda document: message(document, "signup")["bindings"]["kafka"]["key"].update(maxLength=8),
            "signup.signup.key", "added: maxLength 8", PRODUCERS,
        ),
        (
            lambda document: document["channels"]["signup"]["messages"].pop("signupStructured"),
            "signup.signupStructured", "this kind of message is removed", PRODUCERS,
        ),
        (
            lambda document: document["channels"]["signup"].update(address="signups"),
            "signup", "the topic is now signups", PRODUCERS,
        ),
        (lambda document: document["operations"].pop("signup"), "signup", "removed", PRODUCERS),
        (
            lambda document: schema(document, "ChurnedMessage")["properties"].pop("reason"),
            "churned.churned.payload.reason", "dropped: field", SUBSCRIBERS,
        ),
        (
            lambda document: schema(document, "ChurnedMessage")["required"].remove("lost_arr"),
            "churned.churned.payload.lost_arr", "dropped: required", SUBSCRIBERS,
        ),
        (
            lambda document: rename(document, "ChurnedMessage", "churn_date", "date"),
            "churned.churned.payload.churn_date", "dropped: field", SUBSCRIBERS,
        ),
        (
            lambda document: schema(document, "ChurnedMessage")["properties"]["tenure_days"].update(type="number"),
            "churned.churned.payload.tenure_days", 'dropped: type "integer"', SUBSCRIBERS,
        ),
        (
            lambda document: schema(document, "ChurnedMessage")["properties"].update(reason={"type": "array"}),
            "churned.churned.payload.reason", "dropped: type", SUBSCRIBERS,
        ),
        (
            lambda document: schema(document, "ChurnedMoney")["properties"]["amount"].update(pattern="^[0-9]+$"),
            "churned.churned.payload.lost_arr.amount", "dropped: pattern", SUBSCRIBERS,
        ),
        (
            lambda document: message(document, "churned")["headers"]["properties"]["ce_type"].update(const="churned"),
            "churned.churned.headers.ce_type", "dropped: const", SUBSCRIBERS,
        ),
        (
            lambda document: message(document, "churned").update(contentType="application/avro"),
            "churned.churned.contentType", "is now application/avro", SUBSCRIBERS,
        ),
        (
            lambda document: message(document, "churned").update(correlationId={"location": "$message.header#/x"}),
            "churned.churned.correlationId", "is now", SUBSCRIBERS,
        ),
        (
            lambda document: document["channels"]["churned"]["messages"].update(
                other={"$ref": "#/components/messages/erased"}
            ),
            "churned.other", "this kind of message is new", SUBSCRIBERS,
        ),
        (
            lambda document: message(document, "deadLetter")["headers"]["required"].remove("__dlq.errors.reason"),
            "signupDeadLetters.deadLetter.headers.__dlq.errors.reason", "dropped: required",
            "subscribers of customer.signup-dlt",
        ),
    ],
)  # fmt: skip
def test_breaking_change_is_named_with_whom_it_breaks(edit: Edit, where: str, change: str, breaks: str) -> None:
    found = find_breaks(CURRENT, changed(edit))
    assert [each for each in found if each.where == where and each.change.startswith(change) and each.breaks == breaks]


def run(path: Path, *options: str) -> tuple[int, str]:
    arguments = ["contract", "check", str(path), *options]
    done = CliRunner().invoke(command_line(arguments), arguments, env={"COLUMNS": "200"})
    return done.exit_code, done.output


def test_check_exits_with_1_and_names_the_changes(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(changed(add_tier)))
    code, printed = run(old)
    assert code == 1
    assert 'signup.signup.payload.plan_tier: added: pattern "^[' in printed
    assert "Breaks producers of customer.signup." in printed
    code, printed = run(old, "--json")
    assert code == 1
    assert {each["breaks"] for each in json.loads(printed)} == {PRODUCERS}


def test_check_of_the_same_contract_exits_with_0(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(CURRENT))
    assert run(old) == (0, "compatible\n")
    assert run(old, "--json") == (0, "[]\n")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"asyncapi": "2.6.0"}',
        '{"asyncapi": "3.0.0", "operations": 7}',
        '{"asyncapi": "3.0.0", "operations": {"x": {"$ref": "#/no"}}}',
    ],
)
def test_other_file_is_a_usage_error(tmp_path: Path, content: str) -> None:
    old = tmp_path / "old.json"
    old.write_text(content)
    code, printed = run(old)
    assert code == 2
    assert "old.json" in printed


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    assert run(tmp_path / "none.json")[0] == 2

"""Content that attacks whoever reads it: control characters in records, and secrets in logs."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import quote

from tests.attacks.attack import Targets
from tests.attacks.target import ADA, EXPLAIN, REVENUE, TOKEN, Target
from tests.support.operating import run
from tests.support.records import Message
from tests.support.spelling import cancellation, quoted, signup

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\u2066\u2028\u200b\x7f\r<script>alert(1)</script>[link=file:///]"
ESCAPED = json.dumps(EVIL, ensure_ascii=False)[1:-1]
HEADERS = ((EVIL, EVIL.encode()), ("ce_id", EVIL.encode()), ("ce_correlationid", EVIL.encode()))
EVE, ODD = "e0e0e0e0-0000-4000-8000-00000000000e", "0dd00dd0-0000-4000-8000-00000000000d"
COMMANDS = (
    ("status",),
    ("explain", ADA),
    ("explain", EVE),
    ("parked", "list"),
    ("parked", "dead-letter", "--older-than", "0s"),
    ("dead-letters", "list"),
    ("dead-letters", "redrive", "--reason", "unknown_plan_tier"),
    ("reconcile",),
)
PASSWORD = "hunter2-never-to-be-shown"
FAILING = (
    {"STORE__URL": f"postgresql://worker:{PASSWORD}@127.0.0.1:1/customers?sslpassword={PASSWORD}"},
    {
        "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA__SASL_MECHANISM": "PLAIN",
        "KAFKA__SASL_USERNAME": "worker",
        "KAFKA__SASL_PASSWORD": PASSWORD,
    },
)


def escapes(targets: Targets) -> str:
    """Send records full of control characters, and show them by every command and page."""
    target = targets.open
    key, reason, text = EVIL.encode(), quoted(EVIL), quoted(EVIL)
    messages = (
        Message("signup", key, signup(ODD, plan_tier=text), HEADERS),
        Message("signup", key, EVIL.encode(), HEADERS),
        Message("cancellation", key, cancellation(ADA, reason=reason, cancellation_date='"2026-07-15"'), HEADERS),
        Message("cancellation", key, cancellation(EVE, reason=reason), HEADERS),
    )
    target.take(*messages)
    shown = 0
    for command in (*COMMANDS, *(("dead-letters", "show", letter) for letter in letters_of(target))):
        for as_json in ([], ["--json"]):
            _, out, err = run(target.stage, *command, *as_json)
            text = out.decode() + err
            # Terminals ignore DEL, and JSON does not escape it.
            shown += require_harmless(f"{command} {as_json}", text.replace("\x7f", "") if as_json else text)
    for path in ("/", "/contract", "/metrics", "/readyz?verbose", "/worker.json"):
        require_harmless_page(target, path, {})
    targets.with_token.take(*messages)
    letters = [f"/dead-letter?id={quote(letter)}" for letter in letters_of(targets.with_token)]
    for path in ("/dead-letters", *letters, f"/customer?id={ADA}", "/parked"):
        require_harmless_page(targets.with_token, path, {"Authorization": f"Bearer {TOKEN}"})
    require_harmless("log", target.worker.said())
    assert shown, "no command has shown any of it"
    return f"escaped in {shown} outputs of commands; none on the pages and in the log"


def rejected(target: Target) -> list[int]:
    """Return the offsets of rejected signups."""
    rows = target.worker.events("record rejected")
    return [int(str(row["offset"])) for row in rows if row["topic"] == target.stage.topics.signup]


def letters_of(target: Target) -> list[str]:
    """Return the dead letters of signups, by their coordinates."""
    return [f"{target.stage.topics.signup}/0/{offset}" for offset in rejected(target)]


def require_harmless_page(target: Target, path: str, headers: Mapping[str, str]) -> None:
    """Require an answer without control characters, and without the markup of `EVIL`."""
    answer = target.get(path, headers)
    assert answer.status == HTTPStatus.OK, f"{path}: {answer.status}"
    assert "<script>alert" not in answer.body, path
    require_harmless(path, answer.body)


def require_harmless(where: str, text: str) -> bool:
    """Require a text without characters that control a terminal; gives whether it has escaped ones of `EVIL`."""
    found = {ascii(each) for each in text if unicodedata.category(each) in {"Cc", "Cf", "Zl", "Zp"} and each != "\n"}
    assert not found, f"{where} has {found}"
    return "script" in text


def secrets_in_logs(targets: Targets) -> str:
    """Send the token in every wrong place, and fail with passwords, at DEBUG; then search the logs."""
    target = targets.with_token
    for path in (
        EXPLAIN,
        f"/ask/status?token={TOKEN}",
        f"/{TOKEN}",
        f"/ask/{TOKEN}",
        f"/ask/explain?parameters={TOKEN}",
    ):
        for headers in ({"Authorization": f"Bearer {TOKEN}"}, {TOKEN: TOKEN}, {"Cookie": TOKEN}, {"Host": TOKEN}):
            target.get(path, headers)
    with suppress(HTTPException, OSError):
        target.get(f"/{TOKEN} /", {"Authorization": TOKEN * 10_000})
    logs = target.worker.said()
    for settings in FAILING:
        for command in ("run", "check", "status", "config show"):
            code, out, err = run(target.stage, *command.split(), **settings)
            assert command == "config show" or code, f"{command} did not fail"
            logs += out.decode() + err
    for secret in (TOKEN, PASSWORD, REVENUE, ADA):
        assert secret not in logs
    return f"none of token, passwords, customer id and revenue in {len(logs.splitlines()):,} lines"

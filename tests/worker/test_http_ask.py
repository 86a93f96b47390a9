"""Queries over HTTP: on the port with the token only, on the command socket without one, to no other web site."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from starlette.types import ASGIApp, Message

from tests.support.builders import ADA, BOB
from tests.support.changes import prepare
from tests.support.serving import query_routes
from worker.http.server import command_application, port_application
from worker.settings import Http
from worker.stores.duckdb.store import DuckDBStore

HERE = "127.0.0.1"
TOKEN = "0123456789abcdef"
WITH_TOKEN = {"authorization": f"Bearer {TOKEN}"}


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def store(store: DuckDBStore) -> DuckDBStore:
    prepare(store)
    return store


def get(
    store: DuckDBStore,
    target: str,
    *,
    token: str | None = TOKEN,
    listens_on: str = HERE,
    connects_to: str = HERE,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Return the response of the port to a GET, as the server hands it to the application."""
    http = Http.model_validate({"host": listens_on, "token": token})
    sent = {"host": "127.0.0.1:8080", **WITH_TOKEN} | (headers or {})
    return answered(port_application(http, query_routes(store)), target, sent, (connects_to, 8080))


def answered(application: ASGIApp, target: str, headers: dict[str, str], server: tuple[str, int | None]) -> Answer:
    path, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value != NONE],
        "server": server,
        "scheme": "http",
        "http_version": "1.1",
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(application(scope, receive, send))  # type: ignore[arg-type]
    start, *bodies = messages
    received = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], received, b"".join(body["body"] for body in bodies))


NONE = "\0"
"""Value of a header that is not sent."""


def asked(name: str, parameters: dict[str, Any]) -> str:
    return f"/ask/{name}?parameters={quote(json.dumps(parameters))}"


def test_query_is_answered_in_json_with_the_store_header(store: DuckDBStore) -> None:
    answer = get(store, asked("explain", {"customer_id": BOB}))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["customer-worker-store"] == "mark"
    assert json.loads(answer.body)["customer"]["mrr"] == "499.00"
    assert json.loads(get(store, "/ask/status").body)["totals"]["customers"] == 1


def test_command_socket_answers_without_a_token(store: DuckDBStore) -> None:
    application = command_application(Http(), query_routes(store))
    for target in ("/worker.json", asked("explain", {"customer_id": BOB})):
        answer = answered(application, target, {"host": "localhost"}, ("/some/socket", None))
        assert (answer.status, answer.headers["customer-worker-store"]) == (200, "mark")


def test_report_needs_no_token(store: DuckDBStore) -> None:
    answer = get(store, "/worker.json", token=None, headers={"authorization": NONE})
    assert (answer.status, json.loads(answer.body)["version"]) == (200, "1.2.3")


@pytest.mark.parametrize("path", [asked("explain", {"customer_id": BOB}), "/ask/status", "/ask/no-such-question"])
@pytest.mark.parametrize("authorization", [NONE, "", f"Bearer {TOKEN}", "Bearer None", "Bearer ", "Bearer"])
def test_port_without_a_token_answers_no_query(store: DuckDBStore, path: str, authorization: str) -> None:
    answer = get(store, path, token=None, headers={"authorization": authorization})
    assert answer.status == 403
    assert answer.headers["customer-worker-store"] == "mark"
    assert b"CUSTOMER_WORKER_HTTP__TOKEN is not set" in answer.body


@pytest.mark.parametrize("path", [asked("explain", {"customer_id": BOB}), "/ask/status", "/ask/no-such-question"])
@pytest.mark.parametrize("authorization", [
    NONE, "", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}0", f"Bearer {TOKEN.upper()}",
    f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN} {TOKEN}", f"Bearer {TOKEN},", "Bearer \xff\xfe",
])  # fmt: skip
def test_other_tokens_are_refused(store: DuckDBStore, path: str, authorization: str) -> None:
    answer = get(store, path, headers={"authorization": authorization})
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in answer.body.decode()


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN} "])
def test_token_is_accepted_with_any_case_of_the_scheme(store: DuckDBStore, authorization: str) -> None:
    assert get(store, "/ask/status", headers={"authorization": authorization}).status == 200


@pytest.mark.parametrize("connects_to", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", [
    "localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "Worker.internal:8080", NONE,
])  # fmt: skip
def test_local_names_are_answered_on_loopback(store: DuckDBStore, connects_to: str, host: str) -> None:
    answer = get(
        store, "/ask/status", listens_on="worker.Internal", connects_to=connects_to, headers={"host": host}
    )  # a client without a Host header is not a browser
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/worker.json", "/ask/status", "/no-such-path"])
@pytest.mark.parametrize("connects_to", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", [
    "evil.example", "127.0.0.1.evil.example:8080", "", "[::1", "[::1].evil.example", "[localhost]", "evil@localhost",
    "localhost/evil", "localhost.", "10.0.0.5", "worker.internal",
])  # fmt: skip
def test_rebound_names_are_refused_on_loopback(store: DuckDBStore, connects_to: str, host: str, path: str) -> None:
    answer = get(store, path, connects_to=connects_to, headers={"host": host})
    assert answer.status == 403
    assert answer.body.startswith(b"requests to a loopback address")


def test_any_name_is_answered_on_a_network_address(store: DuckDBStore) -> None:
    for host in ("10.0.0.5:8080", "worker.namespace.svc:8080"):
        assert get(store, "/ask/status", connects_to="10.0.0.5", headers={"host": host}).status == 200


@pytest.mark.parametrize("path", ["/worker.json", "/ask/status", "/no-such-path"])
@pytest.mark.parametrize("connects_to", ["127.0.0.1", "10.0.0.5"])
@pytest.mark.parametrize("headers", [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://127.0.0.1:8080"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
])  # fmt: skip
def test_requests_of_other_sites_are_refused(
    store: DuckDBStore, connects_to: str, headers: dict[str, str], path: str
) -> None:
    answer = get(store, path, connects_to=connects_to, headers=headers)
    assert answer.status == 403
    assert answer.body.startswith(b"requests of other web pages are refused")


@pytest.mark.parametrize("headers", [
    {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
])  # fmt: skip
def test_links_and_own_pages_are_answered(store: DuckDBStore, headers: dict[str, str]) -> None:
    assert get(store, "/worker.json", headers=headers).status == 200


@pytest.mark.parametrize(
    ("target", "status", "told"),
    [
        ("/ask/nothing", 404, "unknown query: the queries are status, explain, parked"),
        ("/ask/explain", 400, "invalid parameters of explain"),
        (asked("explain", {"customer_id": "1"}), 400, "invalid parameters of explain"),
        (asked("explain", {"customer_id": f"{ADA}\n"}), 400, "invalid parameters of explain"),
        (asked("explain", {"customer_id": ADA.upper()}), 400, "invalid parameters of explain"),
        (asked("parked", {"at_most": "many"}), 400, "invalid parameters of parked"),
        ("/ask/parked?parameters=%FF%ED%A0%80", 400, "invalid parameters of parked"),
        ("/ask/parked?parameters=" + '{"a":' * 100_000, 400, "invalid parameters of parked"),
    ],
)
def test_invalid_query_is_an_error(store: DuckDBStore, target: str, status: int, told: str) -> None:
    answer = get(store, target)
    assert answer.status == status
    assert answer.body.decode().startswith(told)


def test_failed_store_is_answered_with_503(store: DuckDBStore) -> None:
    store.close()
    answer = get(store, "/ask/status")
    assert (answer.status, answer.body[:25]) == (503, b"the store :memory: failed")

"""Queries over HTTP are answered to local clients and refused to others."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from tests.support.builders import ADA, BOB
from tests.support.changes import prepare
from worker.http.query_routes import QueryRoutes
from worker.monitoring.worker_report import CheckReport, WorkerReport
from worker.queries.server import QueryServer
from worker.settings import Settings
from worker.stores.duckdb.store import DuckDBStore

HERE = "127.0.0.1"
REPORT = WorkerReport("1.2.3", datetime(2026, 6, 30, tzinfo=UTC), [CheckReport("store", ok=True, found="fine")], None)


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
    client: str = HERE,
    listens_on: str = HERE,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Return the response to a GET from `client`, as the server hands it to the application."""
    path, _, query = target.partition("?")
    sent = {"host": "127.0.0.1:8080"} | (headers or {})
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": (client, 50_000),
        "server": (listens_on, 8080),
        "scheme": "http",
        "http_version": "1.1",
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    async def ask() -> None:
        answering = QueryServer(store, Settings())
        routes = QueryRoutes(answering, lambda: REPORT, "mark", listens_on).routes()
        await Starlette(routes=routes)(scope, receive, send)
        await answering.close()

    asyncio.run(ask())
    start, *bodies = messages
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], answered, b"".join(body["body"] for body in bodies))


def asked(name: str, parameters: dict[str, Any]) -> str:
    return f"/ask/{name}?parameters={quote(json.dumps(parameters))}"


def test_query_is_answered_in_json_with_the_store_header(store: DuckDBStore) -> None:
    answer = get(store, asked("explain", {"customer_id": BOB}))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["customer-worker-store"] == "mark"
    assert json.loads(answer.body)["customer"]["mrr"] == "499.00"
    assert json.loads(get(store, "/ask/status").body)["totals"]["customers"] == 1


def test_worker_query_returns_the_status(store: DuckDBStore) -> None:
    answer = get(store, "/ask/worker")
    assert (answer.status, json.loads(answer.body)["version"]) == (200, "1.2.3")


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"])
def test_local_client_is_answered(store: DuckDBStore, client: str, host: str) -> None:
    assert get(store, "/ask/worker", client=client, headers={"host": host}).status == 200


def test_host_setting_is_a_local_name(store: DuckDBStore) -> None:
    headers = {"host": "worker.internal:8080"}
    assert get(store, "/ask/worker", listens_on="Worker.internal", headers=headers).status == 200
    assert get(store, "/ask/worker", headers=headers).status == 403


@pytest.mark.parametrize("path", ["/ask/worker", "/ask/status", "/ask/no-such-question"])
@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("10.0.0.5", {}),
        ("::ffff:10.0.0.5", {}),
        ("203.0.113.9", {"host": "localhost"}),
        ("testclient", {}),
        (HERE, {"host": "evil.example"}),
        (HERE, {"host": "127.0.0.1.evil.example:8080"}),
        (HERE, {"host": ""}),
        (HERE, {"host": "[::1"}),
        (HERE, {"host": "[::1].evil.example"}),
        (HERE, {"host": "[localhost]"}),
        (HERE, {"host": "evil@localhost"}),
        (HERE, {"host": "localhost/evil"}),
        (HERE, {"x-forwarded-for": "127.0.0.1"}),
        (HERE, {"forwarded": "for=127.0.0.1"}),
        (HERE, {"via": "1.1 proxy"}),
    ],
)
def test_remote_client_is_refused(store: DuckDBStore, client: str, headers: dict[str, str], path: str) -> None:
    answer = get(store, path, client=client, headers=headers)
    assert answer.status == 403
    assert answer.body.startswith(b"queries about customers are served to local clients only")


@pytest.mark.parametrize(
    ("target", "status", "told"),
    [
        ("/ask/nothing", 404, "unknown query: the queries are worker, status, explain, parked"),
        ("/ask/explain", 400, "invalid parameters of explain"),
        (asked("explain", {"customer_id": "1"}), 400, "invalid parameters of explain"),
        (asked("explain", {"customer_id": f"{ADA}\n"}), 400, "invalid parameters of explain"),
        (asked("explain", {"customer_id": ADA.upper()}), 400, "invalid parameters of explain"),
        (asked("parked", {"at_most": "many"}), 400, "invalid parameters of parked"),
        ("/ask/parked?parameters=%FF%ED%A0%80", 400, "invalid parameters of parked"),
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

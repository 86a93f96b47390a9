"""Access to the pages: customer data with the token or by the command socket only, and to no other web site."""

import base64
from collections.abc import Mapping

import pytest

from tests.support.builders import ADA, apply, signup
from tests.support.html import Page
from tests.support.shown_worker import Answer, ShownWorker, answer, with_worker
from worker.settings import Http, Settings
from worker.stores.duckdb.store import DuckDBStore

TOKEN = "0123456789abcdef"
WITH_TOKEN = Settings(http=Http.model_validate({"token": TOKEN}))
PROTECTED = ["/dead-letters", "/dead-letter?id=x", f"/customer?id={ADA}", "/parked", "/reconcile", "/reconcile-start"]
OPEN = ["/", "/contract", "/icon-healthy.svg"]


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def get(
    store: DuckDBStore, target: str, settings: Settings = WITH_TOKEN, headers: Mapping[str, str] | None = None
) -> Answer:
    found: Answer = with_worker(store, lambda worker: worker.get(target, headers=headers), settings)
    return found


@pytest.mark.parametrize("target", PROTECTED)
def test_page_with_customer_data_needs_the_token(store: DuckDBStore, target: str) -> None:
    apply(store, [signup(0)])
    found = get(store, target)
    assert found.status == 401
    assert found.headers["www-authenticate"].startswith("Basic ")
    assert ADA not in found.body.decode()
    page = Page(found.body.decode())
    assert "pages with customer data require the header 'Authorization: Bearer'" in page.text
    assert TOKEN not in page.text


@pytest.mark.parametrize("target", PROTECTED)
def test_without_a_token_no_customer_data_is_served(store: DuckDBStore, target: str) -> None:
    for headers in ({}, {"authorization": "Bearer "}, {"authorization": basic("", "")}):
        found = get(store, target, Settings(), headers)
        assert found.status == 403
        assert "CUSTOMER_WORKER_HTTP__TOKEN is not set" in found.body.decode()


@pytest.mark.parametrize("target", OPEN)
@pytest.mark.parametrize("settings", [Settings(), WITH_TOKEN])
def test_page_without_customer_data_is_served_to_everybody(store: DuckDBStore, target: str, settings: Settings) -> None:
    assert get(store, target, settings).status == 200


@pytest.mark.parametrize(
    "authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic("", TOKEN), basic("anybody", TOKEN)]
)
def test_token_is_accepted_as_bearer_and_as_password(store: DuckDBStore, authorization: str) -> None:
    assert get(store, "/parked", headers={"authorization": authorization}).status == 200


@pytest.mark.parametrize(
    "authorization",
    ["", TOKEN, f"Basic {TOKEN}", "Basic", "Basic %%%", "Basic /w==", basic(TOKEN, ""), basic("", TOKEN[:-1]),
     basic("a:", TOKEN), f"Digest {TOKEN}", f"Bearer {basic('', TOKEN)}"],
)  # fmt: skip
def test_other_credentials_are_refused(store: DuckDBStore, authorization: str) -> None:
    assert get(store, "/parked", headers={"authorization": authorization}).status == 401


def test_password_is_not_accepted_for_queries(store: DuckDBStore) -> None:
    assert get(store, "/ask/status", headers={"authorization": basic("", TOKEN)}).status == 401


@pytest.mark.parametrize("target", PROTECTED[2:5])
def test_command_socket_serves_every_page(store: DuckDBStore, target: str) -> None:
    apply(store, [signup(0)])

    async def body(worker: ShownWorker) -> int:
        return (await worker.get_by_socket(target)).status

    assert with_worker(store, body) == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:9000"}, 200),
        ({"host": "127.0.0.1:9000"}, 200),
        ({"host": "evil.example"}, 403),  # DNS rebinding to the port that is forwarded to the socket
        ({"host": "10.0.0.5:8080"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
    ],
)
def test_forwarded_socket_is_closed_to_other_sites(store: DuckDBStore, headers: dict[str, str], status: int) -> None:
    async def body(worker: ShownWorker) -> int:
        return (await worker.get_by_socket("/parked", headers)).status

    assert with_worker(store, body) == status


@pytest.mark.parametrize("target", [*PROTECTED, *OPEN])
@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}]
)
def test_other_sites_get_no_page(store: DuckDBStore, target: str, headers: dict[str, str]) -> None:
    found = get(store, target, headers={"authorization": f"Bearer {TOKEN}", **headers})
    assert found.status == 403
    assert found.body.startswith(b"requests")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_pages_are_read_only(store: DuckDBStore, method: str) -> None:
    async def body(worker: ShownWorker) -> list[int]:
        application = worker.command_application()
        return [(await answer(application, target, {}, method=method)).status for target in ("/", "/dead-letters")]

    assert with_worker(store, body) == [405, 405]

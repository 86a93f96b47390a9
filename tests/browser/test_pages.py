"""Each page in a real browser: without findings of axe-core, without sideways scrolling, in both sizes and schemes.

Screenshots are kept in `.cache/screenshots`.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Literal

import pytest
from playwright.async_api import Error, Page

from tests.browser.chromium import DESKTOP, PHONE, Chromium, findings, running_chromium, screenshot
from tests.browser.states import STATES, caught_up, filled_store, many_letters
from tests.support.builders import NOON_MS, SIGNUPS, apply, customer_id, record, signup_value
from tests.support.serving import served
from tests.support.shown_worker import ShownWorker
from worker.http.pages.reconcile_run import Day, Difference, Report, Run, Sum
from worker.settings import Http, Settings

SIZES = {"desktop": DESKTOP, "phone": PHONE}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as running:
        yield running


@asynccontextmanager
async def serving(worker: ShownWorker, *, by_socket: bool = True, port: int = 0) -> AsyncIterator[str]:
    """Serve the pages of a worker, all of them if `by_socket`; yields the address."""
    application = worker.command_application() if by_socket else worker.application()
    with socket.create_server(("127.0.0.1", port)) as listening:
        async with served(application, listening):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        await worker.close()


async def require_usable(page: Page, name: str) -> None:
    """Look at the page in both sizes and both schemes."""
    found = {}
    for (size, (width, height)), scheme in product(SIZES.items(), SCHEMES):
        await page.set_viewport_size({"width": width, "height": height})
        await page.emulate_media(color_scheme=scheme)
        here = f"{name}-{size}-{scheme}"
        found[here] = await findings(page)
        widths = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        if widths[0] > widths[1]:
            found[here].append(f"scrolls sideways: {widths}")
        await screenshot(page, here)
    assert {here: those for here, those in found.items() if those} == {}


@pytest.mark.parametrize("state", STATES)
def test_overview_is_usable(chromium: Chromium, state: str) -> None:
    async def body() -> None:
        async with serving(STATES[state]()) as url, chromium.page() as page:
            await page.goto(url)
            await require_usable(page, f"overview-{state}")

    chromium.run(body)


EVIL = "<img src=x onerror=alert(1)>\u202e\x07"
TARGETS = {
    "letters": "dead-letters",
    "letters-of-a-group": f"dead-letters?topic={SIGNUPS}&reason=unknown_plan_tier&sender=%2Fbilling",
    "letter": f"dead-letter?id={SIGNUPS}/0/50000",
    "customer": f"customer?id={customer_id(3)}",
    "customer-search": "customer",
    "parked": "parked",
    "reconcile": "reconcile",
    "contract": "contract",
}


def with_everything() -> ShownWorker:
    """Return a worker with many letters, one of them malicious, and a comparison that found a difference."""
    worker = many_letters()
    evil = signup_value(customer_id(3), plan_tier='"platinum"', note=json.dumps(EVIL))
    headers = [("ce_source", EVIL.encode()), (EVIL, b"\xff\x00"), ("null", None)]
    apply(worker.store, [record(evil, offset=50_000, headers=headers)])
    some, none = Sum(12, Decimal(71_856)), Sum(0, Decimal(0))
    days = [
        Day(f"2026-06-{n:02}", some, some, none if n == 7 else some, none, none, equal=n != 7) for n in range(1, 20)
    ]
    difference = Difference(customer_id(3), "the event was published, but is not on the topic")
    report = Report(False, days, [difference], [], 0, [], 0)
    worker.pages._customer_data._runs.last = Run("2026-06-01", "", datetime.now(UTC), 1.4, report, "")
    return worker


@pytest.fixture(scope="module")
def url(chromium: Chromium) -> Iterator[str]:
    """Serve a worker with everything on its pages."""
    stack = AsyncExitStack()

    async def start() -> str:
        return await stack.enter_async_context(serving(with_everything()))

    yield chromium.run(start)
    chromium.run(stack.aclose)


@pytest.mark.parametrize("name", TARGETS)
def test_page_is_usable(chromium: Chromium, url: str, name: str) -> None:
    async def body() -> None:
        async with chromium.page() as page:
            answer = await page.goto(f"{url}/{TARGETS[name]}")
            assert answer is not None
            assert answer.status == 200
            await require_usable(page, name)

    chromium.run(body)


def test_pages_work_without_script(chromium: Chromium, url: str) -> None:
    async def body() -> None:
        async with chromium.page(java_script_enabled=False) as page:
            await page.goto(url)
            assert await page.locator("noscript meta[http-equiv=refresh]").count() == 1
            assert await page.locator("button.copy").count() == 0
            await page.get_by_role("link", name="Dead letters").first.click()
            await page.get_by_role("link", name="unknown_plan_tier").first.click()
            assert not await page.get_by_role("button", name="Copy").first.is_visible()
            await page.get_by_role("link", name="Older").click()
            await page.get_by_role("combobox", name="Reason").select_option("malformed")
            await page.get_by_role("button", name="Filter").click()
            assert "reason=malformed" in page.url
            await page.get_by_role("searchbox").fill(customer_id(3))
            await page.keyboard.press("Enter")
            await page.get_by_role("heading", name=customer_id(3)).wait_for()

    chromium.run(body)


def test_command_is_copied(chromium: Chromium, url: str) -> None:
    async def body() -> None:
        async with chromium.page(permissions=["clipboard-read", "clipboard-write"]) as page:
            await page.goto(f"{url}/dead-letter?id={SIGNUPS}/0/50000")
            await page.get_by_role("button", name="Copy: Redrive, dry run").click()
            await page.get_by_text("Copied").wait_for()
            copied = await page.evaluate("navigator.clipboard.readText()")
            assert copied == f"customer-worker dead-letters redrive --id {SIGNUPS}/0/50000@{NOON_MS}"

    chromium.run(body)


def test_keyboard_reaches_the_content_and_unfolds_it(chromium: Chromium, url: str) -> None:
    async def body() -> None:
        async with chromium.page() as page:
            await page.goto(url)
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
            await page.keyboard.press("Enter")
            assert await page.evaluate("document.activeElement.id") == "main"
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.textContent") == "Figures by minute"
            await page.keyboard.press("Enter")
            await page.get_by_role("table", name="Figures by minute, UTC").wait_for()

    chromium.run(body)


def test_refresh_keeps_selection_and_unfolded_parts(chromium: Chromium) -> None:
    async def body() -> None:
        worker = caught_up()
        async with serving(worker) as address, chromium.page() as page:
            await page.clock.install()
            await page.goto(address)
            await page.get_by_text("This worker", exact=True).click()
            await page.locator("#verdict .title").select_text()
            worker.consumer.applier.failure = "No space left on device"
            worker.has_lag({(SIGNUPS, 0): 77})
            await refreshed(page)
            assert "Caught up" in await page.evaluate("getSelection().toString()")
            await page.locator("#inputs td", has_text="77").first.wait_for()
            assert await page.title() == "The store fails · customer-worker"
            assert await page.locator("#facts").get_attribute("open") is not None
            await page.evaluate("getSelection().removeAllRanges()")
            await refreshed(page)
            await page.locator("#verdict", has_text="No space left on device").wait_for()

    chromium.run(body)


async def refreshed(page: Page) -> None:
    """Let ten seconds pass for the page, which then fetches itself."""
    async with page.expect_response("**/*"):
        await page.clock.run_for(10_000)


def test_worker_that_stopped_is_announced(chromium: Chromium) -> None:
    async def body() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        async with chromium.page_with_failures() as page:
            await page.clock.install()
            async with serving(caught_up(), port=port) as address:
                await page.goto(address)
                assert not await page.get_by_role("alert").is_visible()
            await page.clock.run_for(10_000)
            alert = page.get_by_role("alert")
            await alert.get_by_text("Not refreshed since").wait_for()
            assert (await page.title()).startswith("Not refreshed · Caught up")
            async with serving(caught_up(), port=port):
                await refreshed(page)
                await alert.wait_for(state="hidden")

    chromium.run(body)


def test_browser_prompts_for_the_token(chromium: Chromium) -> None:
    settings = Settings(http=Http.model_validate({"token": TOKEN}))

    async def body() -> None:
        worker = ShownWorker(filled_store(), settings)
        async with serving(worker, by_socket=False) as address:
            async with chromium.page(http_credentials={"username": "me", "password": TOKEN}) as page:
                await page.goto(address)
                await page.get_by_role("link", name="Parked").first.click()
                await page.get_by_role("heading", name="Parked cancellations").wait_for()
            async with chromium.page_with_failures() as page:
                with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):  # in place of the prompt
                    await page.goto(f"{address}/parked")

    chromium.run(body)


def test_refusal_without_a_token_is_usable(chromium: Chromium) -> None:
    async def body() -> None:
        async with (
            serving(ShownWorker(filled_store()), by_socket=False) as address,
            chromium.page_with_failures() as page,
        ):
            answer = await page.goto(f"{address}/parked")
            assert answer is not None
            assert answer.status == 403
            await page.get_by_role("heading", name="Customer data is not shown").wait_for()
            await require_usable(page, "refused")

    chromium.run(body)

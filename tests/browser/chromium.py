"""A real Chromium, driven by Playwright on a thread of its own: other tests of the process run event loops, too."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from playwright.async_api import Browser, Page, async_playwright

from tests.support.node_scripts import package_file

SCREENSHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
LIMIT_S = 240.0
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
DESKTOP, PHONE = (1280, 800), (390, 844)

T = TypeVar("T")


class Chromium:
    """A running Chromium. `browser` is used by coroutines that `run` runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, browser: Browser) -> None:
        self._loop = loop
        self.browser = browser

    def run(self, body: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine on the thread of the browser, and return its result."""

        async def limited() -> T:
            async with asyncio.timeout(LIMIT_S):
                return await body()

        return asyncio.run_coroutine_threadsafe(limited(), self._loop).result()

    @asynccontextmanager
    async def page_with_failures(self, **options: Any) -> AsyncIterator[Page]:
        """Open a page in a context of its own."""
        width, height = DESKTOP
        context = await self.browser.new_context(**{"viewport": {"width": width, "height": height}, **options})
        try:
            yield await context.new_page()
        finally:
            await context.close()

    @asynccontextmanager
    async def page(self, **options: Any) -> AsyncIterator[Page]:
        """Open a page in a context of its own. At the end, no error may be on its console."""
        errors: list[str] = []
        async with self.page_with_failures(**options) as page:
            _collect_errors(page, errors)
            yield page
        assert errors == []


def _collect_errors(page: Page, errors: list[str]) -> None:
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(f"dialog: {dialog.message}"))


@contextmanager
def running_chromium() -> Iterator[Chromium]:
    """Start Chromium, as Debian and others package it."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        raise RuntimeError("These tests need Chromium: install `chromium`, so that it is on the path.")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="chromium")
    thread.start()

    def call(body: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await body

        return asyncio.run_coroutine_threadsafe(awaited(), loop).result(LIMIT_S)

    playwright = call(async_playwright().start())
    try:
        browser = call(playwright.chromium.launch(executable_path=executable, args=ARGUMENTS))
        yield Chromium(loop, browser)
        call(browser.close())
    finally:
        call(playwright.stop())
        call(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def findings(page: Page) -> list[str]:
    """Return what axe-core finds on the page: rule, impact, and the elements concerned."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(package_file("axe-core", "axe.min.js").read_text())
    found = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: {[node['target'] for node in each['nodes'][:3]]}"
        for each in found["violations"]
    ]


async def screenshot(page: Page, name: str) -> None:
    """Keep a picture of the whole page."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

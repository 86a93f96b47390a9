"""The running worker's answers about its store: one question at a time, on a thread of its own, within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from worker.queries.query import Question
from worker.settings import Settings
from worker.stores.errors import StoreError
from worker.stores.port import StoreLifecycle
from worker.stores.reading import StoreView

BOUND_SECONDS = 10.0
INTERRUPT_EVERY_SECONDS = 0.05


class NotAnswered(Exception):
    """There is no answer now; the message says why."""


class Answering:
    """Answers questions about `store`, beside the thread that changes it."""

    def __init__(self, store: StoreLifecycle, settings: Settings, bound_seconds: float = BOUND_SECONDS) -> None:
        self._store = store
        self._settings = settings
        self._bound_seconds = bound_seconds
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="questions")
        self._view: StoreView | None = None

    async def answer(self, question: Question[Any, Any], parameters: msgspec.Struct) -> bytes:
        """The answer as JSON. Raises `NotAnswered` when it is not found in time, or the store failed."""
        finding = self._executor.submit(self._find, question, parameters)
        found = asyncio.wrap_future(finding)
        await asyncio.wait([found], timeout=self._bound_seconds)
        if not found.done():
            if not finding.cancel():
                await self._interrupt_until(found)
            raise NotAnswered(
                f"{question.name} was not answered within {self._bound_seconds:g} s: the machine is busy, or others "
                "ask at the same time. Ask again later"
            )
        try:
            return await found
        except StoreError as error:
            raise NotAnswered(str(error)) from error

    def _find(self, question: Question[Any, Any], parameters: msgspec.Struct) -> bytes:
        with self._store.view() as self._view:
            return msgspec.json.encode(question.find(self._view, self._settings, parameters))

    async def _interrupt_until(self, done: Awaitable[Any]) -> None:
        """Interrupt each query that the question in hand makes, until that is done."""
        future = asyncio.ensure_future(done)
        while not future.done():
            if self._view is not None:
                self._view.interrupt()
            await asyncio.wait([future], timeout=INTERRUPT_EVERY_SECONDS)
        if not future.cancelled():
            future.exception()  # nobody else asks for it

    async def close(self) -> None:
        """End the question in hand, and take no more."""
        await self._interrupt_until(asyncio.to_thread(self._executor.shutdown, cancel_futures=True))

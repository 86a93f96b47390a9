"""The wait for the group is logged once, when its reason changes, and after growing pauses."""

import asyncio
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from worker.consumer import joining
from worker.consumer.joining import Joining
from worker.settings import Settings


class Told(Joining):
    """Has its reasons from a list; then the group accepts the worker."""

    def __init__(self, reasons: Iterator[str]) -> None:
        super().__init__(Settings())
        self._reasons = reasons

    @override
    async def _look(self) -> str:
        reason = next(self._reasons, None)
        if reason is None:
            self.accepted()
        return reason or self.reason


def logged(*reasons: str) -> list[str]:
    with capture_logs() as logs:
        asyncio.run(Told(iter(reasons)).watch())
    return [str(entry.get("reason", entry["event"])) for entry in logs]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "LOOK_EVERY_SECONDS", 0.001)


def test_same_reason_is_logged_once() -> None:
    assert logged("a", "a", "a") == ["a", "group joined"]


def test_change_of_the_reason_is_logged() -> None:
    assert logged("a", "a", "b", "b", "a") == ["a", "b", "a", "group joined"]


def test_pauses_between_repeats_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "FIRST_REPEAT_SECONDS", 0.0)
    assert logged("a", "a", "a") == ["a", "a", "a", "group joined"]
    monkeypatch.setattr(joining, "FIRST_REPEAT_SECONDS", 0.02)
    repeats = logged(*["a"] * 100)  # in about 0.1 s: at 0, 0.02, 0.06
    assert 1 < len(repeats) - 1 < 8


def test_group_that_accepts_at_once_is_not_logged() -> None:
    assert logged() == []

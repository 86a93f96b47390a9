"""The check of the consumer group on a cluster whose coordinator is not ready, and on one that refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from worker import preflight
from worker.monitoring.checks import Check
from worker.settings import Settings


def check(monkeypatch: pytest.MonkeyPatch, answers: Sequence[type[KafkaError] | int]) -> Check:
    """Run the check of a group whose description gives these answers, the last one again and again."""
    left = list(answers)

    async def look_at_group(*_: Any) -> int:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, int):
            return answer
        raise answer

    monkeypatch.setattr(preflight, "look_at_group", look_at_group)
    monkeypatch.setattr(preflight, "COORDINATOR_SECONDS", 0.5)
    return asyncio.run(preflight._group_check(SimpleNamespace(), Settings()))


@pytest.mark.parametrize(
    "error", [GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError]
)
def test_check_waits_for_a_coordinator(monkeypatch: pytest.MonkeyPatch, error: type[KafkaError]) -> None:
    found = check(monkeypatch, [error, 3])
    assert (found.is_well, found.found) == (True, "has a coordinator; members now: 3")
    assert not check(monkeypatch, [error]).is_well


def test_check_fails_for_other_errors_of_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(monkeypatch, [KafkaError])
    assert not found.is_well
    assert found.name == "group customer-worker"


def test_check_without_the_right_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(monkeypatch, [GroupAuthorizationFailedError])
    assert (found.is_well, found.is_known) == (True, False)

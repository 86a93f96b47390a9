"""Errors of abandoned requests are not logged; others are, without content."""

import asyncio
import gc
import json
import logging
from collections.abc import Iterator

import pytest
from aiokafka.errors import KafkaConnectionError

from worker.logs import configuration as logs
from worker.logs import loop_errors
from worker.settings import Log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = before


def _logged(error: Exception, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    async def leave_behind() -> None:
        loop_errors.install(asyncio.get_running_loop())
        asyncio.get_running_loop().create_future().set_exception(error)
        gc.collect()

    logs.configure(Log(format="json"))
    asyncio.run(leave_behind())
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_abandoned_request_to_kafka_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert _logged(KafkaConnectionError("no broker"), capsys) == []


def test_any_other_error_is_logged_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    [line] = _logged(ValueError("a fault"), capsys)
    assert line["level"] == "error"
    assert line["message"] == "Future exception was never retrieved"
    assert "ValueError" in line["exception"]


def test_client_that_was_not_closed_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    async def report() -> None:
        loop = asyncio.get_running_loop()
        loop_errors.install(loop)
        loop.call_exception_handler({"message": "Unclosed AIOKafkaProducer", "producer": object()})

    logs.configure(Log(format="json"))
    asyncio.run(report())
    assert capsys.readouterr().err == ""

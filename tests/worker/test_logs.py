"""What reaches the log: a fault of a library does, its alarm over an orderly stop does not."""

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from aiokafka.errors import GroupCoordinatorNotAvailableError

from worker.logs import configuration as logs
from worker.settings import Log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, faststream = logging.getLogger(), logging.getLogger("faststream")
    before = list(root.handlers), root.level, faststream.level
    yield
    root.handlers[:], root.level, faststream.level = before


def test_only_what_went_wrong_is_told_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format="json"))
    faststream = logging.getLogger("faststream")
    faststream.error("CancelledError: ", exc_info=asyncio.CancelledError())  # its way of ending at a stop
    faststream.error("KafkaError: away", exc_info=OSError("away"))
    logging.getLogger("worker").error("a part was cancelled", exc_info=asyncio.CancelledError())
    told = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert told == ["KafkaError: away", "a part was cancelled"]


def test_errors_of_a_library_are_put_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format="json"))
    aiokafka = logging.getLogger("aiokafka")
    aiokafka.error("Unable connect to node with id %s: %s", 1, OSError(111, "Connect call failed ('127.0.0.1', 1)"))
    aiokafka.error('Unable connect to "%s:%s": %s', "127.0.0.1", 1, OSError(111, "Connect call failed"))
    told = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert told == ["Unable connect to node with id 1: connection refused"]


def test_own_lines_are_kept_whatever_error_they_show(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format="json"))
    worker, aiokafka = structlog.get_logger("worker"), logging.getLogger("aiokafka")
    worker.critical("start failed", exc_info=GroupCoordinatorNotAvailableError("of the group"))
    aiokafka.error("Group coordinator lookup failed: %s", GroupCoordinatorNotAvailableError("of the group"))
    [told] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert told["event"] == "start failed"

"""`/livez` and `/readyz` of a real worker whose surroundings fail, as its supervisor sees them."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.impatient_worker import LOOP_BOUND_SECONDS
from tests.acceptance.test_http import get, url_of
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess
from worker.demo.broker import in_process_broker
from worker.settings import PREFIX

pytestmark = pytest.mark.timeout(180)
IMPATIENT = [sys.executable, "-m", "tests.acceptance.impatient_worker", "run"]
STOPPED_FOR_SAFETY = 70


def unwell(url: str, endpoint: str = "readyz") -> set[str]:
    found: dict[str, Any] = json.loads(get(f"{url}/{endpoint}?verbose")[1])
    return {check["name"] for check in found["checks"] if not check["ok"]}


def ready(stage: Stage) -> tuple[WorkerProcess, str]:
    stage.create_topics()
    worker = stage.start(IMPATIENT, HTTP__ENABLED="true", HTTP__PORT="0", LOG__FORMAT="json")
    url = url_of(worker)
    worker.wait_until(lambda: get(f"{url}/readyz")[0] == 200, "ready", 60)
    return worker, url


def test_waiting_for_records_is_progress(stage: Stage) -> None:
    worker, url = ready(stage)
    end = time.monotonic() + 2 * LOOP_BOUND_SECONDS

    def has_lived_long_enough() -> bool:
        assert get(f"{url}/livez?verbose")[0] == 200
        return time.monotonic() > end

    worker.wait_until(has_lived_long_enough, "long enough without a record", 30)


def test_a_poll_that_hangs_is_death(stage: Stage) -> None:
    worker, url = ready(stage)
    (stage.directory / "hang").touch()
    worker.wait_until(lambda: get(f"{url}/livez")[0] == 503, "said to be dead", 30)
    assert unwell(url, "livez") == {"poll"}


def test_a_fetcher_that_ends_stops_the_worker_which_says_so(stage: Stage) -> None:
    worker, _ = ready(stage)
    (stage.directory / "fetching-ends").touch()
    assert worker.wait(30) == STOPPED_FOR_SAFETY, worker.tail()
    assert "aiokafka's task of fetching has ended" in worker.said()


def test_idle_worker_with_unwritable_store_is_not_ready(stage: Stage) -> None:
    worker, url = ready(stage)
    size = Path(f"{stage.store_file}.wal").stat().st_size
    pid = worker._process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))  # as on a full disk
    worker.wait_until(lambda: unwell(url) == {"store"}, "not ready for its store", 30)
    assert get(f"{url}/livez")[0] == 200
    assert "not writable" in get(f"{url}/readyz?verbose")[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    worker.wait_until(lambda: get(f"{url}/readyz")[0] == 200, "ready again", 30)
    assert worker.stop() == 0


def test_a_broker_that_cannot_be_reached_is_not_death(tmp_path: Path) -> None:
    log = tmp_path / "log"
    impatient = (
        "from worker.monitoring import health; health.KAFKA_BOUND_SECONDS = 3; "
        "from worker.demo.on_mock import main; main()"
    )
    with in_process_broker() as broker:
        settings = {name.removeprefix(PREFIX): value for name, value in broker.environment.items()}
        settings |= {"HTTP__PORT": "0", "LOG__FORMAT": "json"}
        worker = WorkerProcess([sys.executable, "-c", impatient, "run"], settings, tmp_path, log)
        try:
            url = url_of(worker)
            worker.wait_until(lambda: get(f"{url}/readyz")[0] == 200, "ready", 60)
        except AssertionError:
            worker.kill()
            raise
    try:
        worker.wait_until(lambda: get(f"{url}/readyz")[0] == 503, "not ready", 60)
        assert unwell(url) <= {"partitions", "kafka"}
        assert get(f"{url}/livez") == (200, "ok\n")
    finally:
        worker.kill()

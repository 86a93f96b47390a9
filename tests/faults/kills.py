"""`kill -9`: at every named point of the worker, and at moments nobody chose."""

import random
import time
from collections.abc import Callable

from tests.faults import small_wal
from tests.faults.fault import DUCKDB, STORES, Fault
from tests.faults.play import ASK_EVERY_S, RECOVERY_LIMIT_S, Play
from tests.support.worker_process import WorkerProcess
from worker.failpoints import POINTS

REPEATED = ("before-commit", "after-commit", "before-publish", "in-transaction", "after-publish",
            "before-mark", "after-mark", "before-mirror", "after-mirror")  # fmt: skip
OF_THE_RELAY = ("predecessor-fenced", "in-recover", "before-receipts", "after-receipts", "before-publish",
                "in-transaction", "after-publish", "before-mark", "after-mark")  # fmt: skip
OF_DUCKDB = ("before-checkpoint", "after-checkpoint")


def faults() -> list[Fault]:
    """One fault a point, and one without."""
    return [Fault("kill -9 at random", _at_random), *(_at(point) for point in POINTS)]


def _at_random(play: Play, rng: random.Random) -> str:
    time.sleep(rng.uniform(0, 3))  # the moment is the fault: there is nothing to wait for
    play.worker.require_running()
    play.restart()
    return "killed and restarted"


def _at(point: str) -> Fault:
    def inflict(play: Play, rng: random.Random) -> str:
        passes = rng.randint(1, 3) if point in REPEATED else 1
        play.kill()
        play.start(small_wal.command() if "checkpoint" in point else None, FAILPOINT=f"{point}:{passes}")
        if point == "drained":
            play.recovered(time.monotonic())
            play.worker.terminate()
        if point in OF_THE_RELAY and play.is_shared:
            let_it_publish(play, lambda worker: worker.exit_code is not None)
        play.wait_until_dead(point)
        play.start()
        return "killed there and restarted"

    return Fault(f"kill -9 at {point}", inflict, stores=[DUCKDB] if point in OF_DUCKDB else STORES)


def let_it_publish(play: Play, is_over: Callable[[WorkerProcess], bool]) -> None:
    """Kill whoever else publishes until it is this worker's turn, and `is_over` of it: the others stand by."""
    slot, worker = play.slot, play.worker
    worker.wait_until(lambda: bool(worker.events("batch applied")), "one of the group", RECOVERY_LIMIT_S)
    deadline = time.monotonic() + RECOVERY_LIMIT_S
    while not is_over(worker):
        assert time.monotonic() < deadline, f"it was never this worker's turn to publish:\n{worker.tail()}"
        publisher = play.publisher()
        if publisher not in (None, slot):
            play.slot = publisher
            play.restart()
            play.slot = slot
        time.sleep(ASK_EVERY_S)

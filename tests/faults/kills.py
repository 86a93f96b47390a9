"""`kill -9`: at every named point of the worker, and at moments nobody chose."""

import random
import time

from tests.faults import small_wal
from tests.faults.fault import Fault
from tests.faults.play import Play
from worker.failpoints import POINTS

REPEATED = ("before-commit", "after-commit", "before-publish", "in-transaction", "after-publish",
            "before-mark", "after-mark", "before-mirror", "after-mirror")  # fmt: skip


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
        play.wait_until_dead(point)
        play.start()
        return "killed there and restarted"

    return Fault(f"kill -9 at {point}", inflict)

"""The clock jumps an hour ahead, and back again."""

import datetime as dt
import random
import time
from pathlib import Path

from tests.faults.fault import Fault, Inflict
from tests.faults.play import Play
from tests.support.worker_process import module_command

HOUR = dt.timedelta(hours=1)
LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
JUMP_LIMIT_S = 60.0


def faults() -> list[Fault]:
    """Both ways."""
    return [Fault("clock an hour ahead", _jump(HOUR)), Fault("clock an hour back", _jump(-HOUR))]


def _jump(by: dt.timedelta) -> Inflict:
    def inflict(play: Play, _: random.Random) -> str:
        play.kill()
        clock = play.directory / "clock"
        clock.write_text("+0\n")
        worker = play.start(_with_clock(clock))
        play.recovered(time.monotonic())
        clock.write_text(f"{by.total_seconds():+.0f}\n")
        play.wait_for(lambda: abs(_ahead(worker.events("batch applied")) - by) < HOUR / 10, "told of", JUMP_LIMIT_S)
        return "jumped while it ran"

    return inflict


def _with_clock(file: Path) -> list[str]:
    """Return the command of a worker whose clock shows the time in the file."""
    return ["env", *(f"{name}={value}" for name, value in at_clock(file).items()), *module_command("run")]


def at_clock(file: Path) -> dict[str, str]:
    """Return the environment of a process whose clock shows the time in the file; a jump does not affect its timers."""
    library = next((str(path) for pattern in LIBRARIES for path in sorted(Path("/").glob(pattern[1:]))), None)
    assert library is not None, "there is no libfaketime: apt-get install faketime"
    return {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # with it, Java's timed waits end at once: a broker starts in 80 s
    }


def _ahead(lines: list[dict[str, object]]) -> dt.timedelta:
    """Return the difference between the time of the last log line and the time of this process."""
    if not lines:
        return dt.timedelta()
    said = dt.datetime.fromisoformat(str(lines[-1]["timestamp"]))
    return said - dt.datetime.now(dt.UTC)

"""A failpoint kills or freezes its process without cleanup, only if the environment names it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worker import failpoints
from worker.failpoints import POINTS, VARIABLE

REACHING = """
import atexit, sys
from worker.failpoints import reach
atexit.register(print, "cleaned up", flush=True)
for number in range(4):
    reach("in-recover")
    reach("after-commit")
    print(number, flush=True)
"""


def run(failpoint: str | None) -> tuple[int, list[str], str]:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if failpoint is not None:
        environment[VARIABLE] = failpoint
    done = subprocess.run(
        [sys.executable, "-c", REACHING], env=environment, check=False, capture_output=True, text=True
    )
    return done.returncode, done.stdout.split("\n")[:-1], done.stderr


def test_without_the_variable_nothing_happens() -> None:
    assert run(None) == (0, ["0", "1", "2", "3", "cleaned up"], "")


@pytest.mark.parametrize(
    "failpoint", ["", "before-commit", "after-commit:99"], ids=["empty", "elsewhere", "never so often"]
)
def test_a_point_that_is_not_reached_kills_nothing(failpoint: str) -> None:
    assert run(failpoint) == (0, ["0", "1", "2", "3", "cleaned up"], "")


@pytest.mark.parametrize(("failpoint", "lines"), [
    ("after-commit", []), ("after-commit:1", []), ("after-commit:3", ["0", "1"]), ("in-recover:4", ["0", "1", "2"]),
])  # fmt: skip
def test_failpoint_kills_at_its_count_without_cleanup(failpoint: str, lines: list[str]) -> None:
    assert run(failpoint) == (-9, lines, "")


def test_failpoint_with_a_signal_freezes_the_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", REACHING],
        env=os.environ | {VARIABLE: "after-commit:3:STOP"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        process.send_signal(signal.SIGCONT)
        lines = process.communicate()[0].splitlines()
    assert os.WIFSTOPPED(status)
    assert lines == ["0", "1", "2", "3", "cleaned up"]


def test_the_points_are_those_the_worker_reaches() -> None:
    sources = [path.read_text() for path in Path(failpoints.__file__).parent.rglob("*.py")]
    reached = {name for source in sources for name in re.findall(r'\breach\("([a-z-]+)"\)', source)}
    assert reached == set(POINTS)

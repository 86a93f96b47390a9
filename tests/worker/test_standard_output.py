"""Commands end quietly if nothing reads their output, and with a sentence if it cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = [["config", "show"], ["config", "show", "--json"], ["contract", "asyncapi"], ["--help"], ["--version"]]
each_command = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


def run(command: list[str], stdout: int, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "worker", *command],
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@each_command
def test_closed_pipe_ends_the_command_quietly(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run(command, writing) == (0, "")
    finally:
        os.close(writing)


def test_closed_pipe_at_the_end_keeps_the_exit_code(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text('{"asyncapi": "3.0.0", "operations": {"gone": {"action": "send", "channel": {}}}}')
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run(["contract", "check", "--json", str(old)], writing, PYTHONUNBUFFERED="") == (1, "")
    finally:
        os.close(writing)


@each_command
def test_full_disk_is_one_sentence(command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        assert run(command, full.fileno()) == (1, "writing to standard output failed: No space left on device\n")


@each_command
def test_closed_output_is_one_sentence(command: list[str]) -> None:
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "worker", *command]
    done = subprocess.run(closed, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "writing to standard output failed: Bad file descriptor\n")


def test_unencodable_characters_are_escaped() -> None:
    reading, writing = os.pipe()
    try:
        ended = run(["config", "show"], writing, PYTHONIOENCODING="ascii", CUSTOMER_WORKER_KAFKA__GROUP_ID="größe")
        assert ended == (0, "")
    finally:
        os.close(writing)
    with os.fdopen(reading) as output:
        assert "gr\\xf6\\xdfe" in output.read()

"""Each step of the shutdown has a limit, and the process ends at its deadline."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker import signals
from worker.shutdown import Shutdown
from worker.signals import STOP_SECONDS, StopRequest

ROOT = Path(__file__).parents[2]
STARTED = "import sys; from worker import signals; signals.install(sys.argv[1:]); "


@pytest.fixture(autouse=True)
def _sigint() -> Iterator[None]:
    """Let the tests' processes receive SIGINT, also where this one runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Request(StopRequest):
    """A request whose deadline ends no process."""

    def _watch(self) -> None:
        pass


async def _never() -> None:
    while True:  # not even when it is cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if asyncio.get_running_loop().time() > _never_until[0]:
                raise


_never_until = [0.0]


def test_step_that_ignores_cancellation_is_left_behind() -> None:
    async def stop() -> tuple[bool, bool, list[str], float]:
        _never_until[0] = asyncio.get_running_loop().time() + 0.3
        shutdown = Shutdown(Request(), lambda: 0)
        began = time.monotonic()
        hung = await shutdown.step("publishing", _never(), keep=STOP_SECONDS - 0.1)
        took = time.monotonic() - began
        next_ran = await shutdown.step("closing the store", asyncio.sleep(0), keep=0.0)
        await asyncio.sleep(0.3)
        return hung, next_ran, shutdown.unfinished, took

    hung, next_ran, unfinished, took = asyncio.run(stop())
    assert (hung, next_ran, unfinished) == (False, True, ["publishing"])
    assert took < 1


def test_step_that_fails_does_not_keep_others_from_running() -> None:
    async def fail() -> None:
        raise OSError("connection reset")

    async def stop() -> tuple[bool, list[str]]:
        shutdown = Shutdown(Request(), lambda: 0)
        return await shutdown.step("closing the store", fail(), keep=0.0), shutdown.unfinished

    assert asyncio.run(stop()) == (True, [])


def _run(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", STARTED + code, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_that_hangs_ends_at_the_deadline(number: signal.Signals) -> None:
    process = _run(
        "import time; signals.STOP_SECONDS = 0.5; signals.STOP_REQUEST.step = 'closing the store'\n"
        "print('ready', flush=True)\nwhile True: time.sleep(1)",
        "run",
    )
    _ready(process)
    process.send_signal(number)
    began = time.monotonic()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - began < 5
    assert "stop took too long: closing the store" in errors


def test_deadline_holds_with_a_log_that_nothing_reads() -> None:
    process = _run(
        "import os, time; signals.STOP_SECONDS = 0.2\n"
        "signals.STOP_REQUEST.report = lambda line: time.sleep(60); signals.STOP_REQUEST.exit_code = lambda: 70\n"
        "print('ready', flush=True)\nwhile True: time.sleep(1)",
        "run",
    )
    _ready(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 70
    process.communicate()


def test_second_signal_ends_at_once() -> None:
    process = _run(
        "import time; print('ready', flush=True); time.sleep(0.5); print('ready', flush=True)\n"
        "while True: time.sleep(1)",
        "run",
    )
    _ready(process)
    process.send_signal(signal.SIGTERM)
    _ready(process)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    assert time.monotonic() - began < STOP_SECONDS / 2
    process.communicate()


def test_other_commands_end_by_the_signal() -> None:
    process = _run("import time; print('ready', flush=True); time.sleep(60)", "status")
    _ready(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    process.communicate()


def test_ignored_signal_remains_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup and a shell's & do
    try:
        process = _run("import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)", "run")
        assert process.communicate(timeout=20)[0] == "True\n"
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_blocked_by_the_entry_point_is_delivered(number: signal.Signals) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])  # inherited by the process
    try:
        process = _run("\nwhile signals.STOP_REQUEST.number is None: pass\nprint(signals.STOP_REQUEST.number)", "run")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process.send_signal(number)  # long before the handlers are installed
    received, errors = process.communicate(timeout=20)
    assert received.split() == [str(int(number))], errors


def test_signal_handlers_precede_large_imports() -> None:
    code = "import sys, worker.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"asyncio", "typer", "structlog", "importlib.metadata", "worker.cli"} & set(loaded.split())


def test_signal_before_the_listener_is_remembered() -> None:
    request, heard = Request(), list[signal.Signals]()
    request.handle(signal.SIGTERM)
    request.listen(heard.append)
    assert heard == [signal.SIGTERM]
    assert request.remaining <= STOP_SECONDS
    assert signals.STOP_REQUEST.number is None

"""`customer-worker` as a process of its own: started, watched, signalled and killed, as an operator would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support.processes import MODULE, REPOSITORY, run_process, start_process

PREFIX = "CUSTOMER_WORKER_"
EXIT_LIMIT_S = 40.0
KILLED = -signal.SIGKILL
SHOWN_OF_A_LOG = 4_000


def module_command(*arguments: str) -> list[str]:
    """Return the worker's own command line."""
    return [*MODULE, "worker", *arguments]


def faststream_command() -> list[str]:
    """FastStream's command line, running the worker's factory."""
    return [str(Path(sys.executable).with_name("faststream")), "run", "worker.app:create", "--factory"]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process with the given settings only (names without the prefix)."""
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    # The process runs in a directory of its own, where the worker is only found by this.
    inherited["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    return inherited | {PREFIX + name: value for name, value in settings.items()}


class WorkerProcess:
    """One started process. Everything it prints goes to `log`."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], directory: Path, log: Path) -> None:
        self._log = log
        self._parsed: list[dict[str, object]] = []
        self._parsed_bytes = 0
        with log.open("wb") as output:
            self._process = start_process(command, environment(settings), directory, output, output)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal where one killed it."""
        return self._process.poll()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it where it stands, without its knowing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the frozen process go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it at once and see it gone; nothing where it is gone already."""
        self._process.kill()
        self._process.wait(EXIT_LIMIT_S)

    def wait(self, limit_s: float = EXIT_LIMIT_S) -> int:
        """Its exit code; raises `AssertionError` with its log where it does not end in time."""
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end within {limit_s} s; it said:\n{self.tail()}") from None

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.terminate()
        return self.wait()

    def said(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace")

    def tail(self) -> str:
        """Return the end of what it has printed."""
        return self.said()[-SHOWN_OF_A_LOG:]

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the log lines of one event, such as `batch applied`, in order."""
        return [line for line in self._lines() if line.get("event") == name]

    def records_taken(self) -> int:
        """Return the number of records of all its batches."""
        return sum(int(str(batch["records"])) for batch in self.events("batch applied"))

    def errors(self) -> list[dict[str, object]]:
        """Return the log lines that report a failure, in order."""
        return [line for line in self._lines() if line.get("level") in {"error", "critical"}]

    def warnings(self) -> list[dict[str, object]]:
        """Return the log lines of level warning, in order."""
        return [line for line in self._lines() if line.get("level") == "warning"]

    def _lines(self) -> list[dict[str, object]]:
        """Parse what was printed since the last call: conditions are asked for 20 times a second."""
        with self._log.open("rb") as log:
            log.seek(self._parsed_bytes)
            while (line := log.readline()).endswith(b"\n"):
                self._parsed_bytes += len(line)
                if line.startswith(b"{") and line.endswith(b"}\n"):
                    self._parsed.append(json.loads(line.decode(errors="replace")))
        return self._parsed

    def require_running(self) -> None:
        """Raise `AssertionError` with its log where it has ended."""
        if self.exit_code is not None:
            raise AssertionError(f"the worker ended with {self.exit_code}; it said:\n{self.tail()}")

    def wait_until(self, condition: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
        """Ask again and again until the condition holds; raises where it never does, or the process ends before."""
        deadline = time.monotonic() + limit_s
        while not condition():
            self.require_running()
            if time.monotonic() > deadline:
                raise AssertionError(f"not {what} within {limit_s} s; the worker said:\n{self.tail()}")
            time.sleep(0.05)


def run_to_the_end(
    command: Sequence[str], settings: Mapping[str, str], directory: Path, limit_s: float = EXIT_LIMIT_S
) -> tuple[int, str]:
    """Run a command that ends by itself: its exit code and all that it printed."""
    done = run_process(command, environment(settings), directory, limit_s, merged=True)
    return done.returncode, done.stdout.decode(errors="replace")

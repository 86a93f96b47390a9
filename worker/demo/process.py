"""The worker as a subprocess, and its log."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.demo.broker import Broker, clean_environment
from worker.errors import Exit, Refusal
from worker.settings import PREFIX

STOP_SECONDS = 20.0
LOG_LINES_SHOWN = 8


class WorkerProcess:
    """A running worker. `outcomes` counts `records` and each outcome, from its log."""

    def __init__(self, broker: Broker, store: Path, log: Path, settings: Mapping[str, str]) -> None:
        own = {
            "STORE__URL": f"duckdb:///{store}",
            "HTTP__ENABLED": "false",
            "LOG__FORMAT": "json",
            "LOG__LEVEL": "INFO",
        }
        environment = clean_environment() | dict(broker.environment)
        environment |= {PREFIX + name: value for name, value in {**own, **settings}.items()}
        self._log = log
        self._read_to = log.stat().st_size if log.exists() else 0
        self.outcomes: Counter[str] = Counter()
        with log.open("ab") as stderr:
            # A separate session: Ctrl-C reaches the demo only, which then stops the worker.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                broker.worker_command, env=environment, stdout=stderr, stderr=stderr, start_new_session=True
            )

    def follow(self) -> None:
        """Read new lines of the log."""
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._read_to += len(line)
                self._take(_entry(line))

    def _take(self, entry: dict[str, Any]) -> None:
        if entry.get("event") == "batch applied":
            names = ("records", "applied", "duplicate", "parked", "rejected")
            self.outcomes.update({name: int(entry.get(name, 0)) for name in names})

    def require_running(self) -> None:
        """Raise `Refusal` with the end of the log if the worker has ended."""
        code = self._process.poll()
        if code is not None:
            raise self.refusal(f"the worker ended unexpectedly with exit code {code}")

    def refusal(self, what: str) -> Refusal:
        """Return a refusal with the last lines of the worker's log."""
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return Refusal("\n".join([f"{what}. The last lines of its log:", *lines]), Exit.NO)

    def was_killed(self) -> bool:
        """Return whether SIGKILL ended the worker. Raises `Refusal` if it ended otherwise."""
        if self._process.poll() == -signal.SIGKILL:
            return True
        self.require_running()
        return False

    def stop(self) -> None:
        """Stop the worker with SIGTERM. Raises `Refusal` if it does not exit with 0."""
        self.require_running()
        self._process.terminate()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            raise self.refusal(f"the worker did not stop within {STOP_SECONDS:.0f} s") from None
        if code := self._process.returncode:
            raise self.refusal(f"the worker stopped with exit code {code}")

    def wait(self) -> None:
        """Wait for the end of the worker."""
        self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Kill the worker."""
        self._process.kill()
        self.wait()


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:  # a traceback, or a library that prints
        return {}
    return entry if isinstance(entry, dict) else {}

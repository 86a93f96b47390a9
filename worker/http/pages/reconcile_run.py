"""Reconciliation for a page: `customer-worker reconcile` in a process of its own, one at a time.

It reads a whole topic, which takes seconds of CPU: in this process the batches would wait for the interpreter lock.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

COMMAND = (sys.executable, "-m", "worker", "reconcile", "--json")
LIMIT_SECONDS = 300.0
MAX_OUTPUT_BYTES = 64 * 1024 * 1024
LOWEST_PRIORITY, LOWER_BY = 19, 10
FIRST_TO_BE_KILLED = "1000"
_EQUAL, _DIFFERENT = 0, 1
_CHUNK_BYTES = 64 * 1024


class Sum(msgspec.Struct, frozen=True):
    """Number and ARR of the churns of a day, on one of the three sides."""

    count: int
    lost_arr: Decimal


class Day(msgspec.Struct, frozen=True):
    """The sides of one day, as `customer-worker reconcile --json` prints them."""

    day: str
    customers: Sum
    events: Sum
    topic: Sum
    erased: Sum
    pending: Sum
    equal: bool


class Difference(msgspec.Struct, frozen=True):
    """A customer whose records differ."""

    customer_id: str
    what: str


class Report(msgspec.Struct, frozen=True):
    """The report of a run."""

    equal: bool
    days: list[Day]
    differences: list[Difference]
    no_events: list[str]
    tombstones: int
    ineffective_tombstones: list[object]
    receipts_without_customer: int


class Run(NamedTuple):
    """A run that has ended: its report, or the reason why there is none."""

    since: str
    until: str
    at: datetime
    seconds: float
    report: Report | None
    problem: str


class ReconcileRuns:
    """The runs of one worker: the last one that ended, and the one in progress."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self.last: Run | None = None

    @property
    def running_seconds(self) -> float | None:
        """Duration of the run in progress, None if there is none."""
        return None if self._task is None else time.monotonic() - self._began

    def start(self, since: str, until: str) -> None:
        """Compare the days from `since` to `until`, each empty for no limit; a run in progress goes on instead."""
        if self._task is None:
            self._began = time.monotonic()
            self._task = asyncio.create_task(self._run(since, until))

    async def close(self) -> None:
        """Kill the run in progress."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, since: str, until: str) -> None:
        report, problem = None, ""
        days = [*(("--from", since) if since else ()), *(("--to", until) if until else ())]
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                report = await _report(*days)
        except TimeoutError:
            problem = f"not completed within {LIMIT_SECONDS:.0f} s. Run the command in a terminal"
        except (OSError, _Failed) as failed:
            problem = str(failed)
        finally:
            self._task = None
        self.last = Run(since, until, datetime.now(UTC), time.monotonic() - self._began, report, problem)


class _Failed(Exception):
    pass


async def _report(*days: str) -> Report:
    process = await asyncio.create_subprocess_exec(*COMMAND, *days, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    _yield_to_worker(process.pid)
    try:
        output, errors = await asyncio.gather(_read(process.stdout), _read(process.stderr))
        code = await process.wait()
    finally:
        await _kill(process)
    if code not in {_EQUAL, _DIFFERENT}:
        said = errors.decode(errors="replace").strip().splitlines()
        raise _Failed(said[-1] if said else f"the command ended with {code}")
    try:
        return msgspec.json.decode(output, type=Report)
    except msgspec.DecodeError as error:
        raise _Failed(f"the output of the command cannot be read: {error}") from None


def _yield_to_worker(pid: int) -> None:
    """Give the process a lower priority, and let the kernel end it first where memory runs out."""
    with suppress(OSError):
        lower = min(LOWEST_PRIORITY, os.getpriority(os.PRIO_PROCESS, 0) + LOWER_BY)
        os.setpriority(os.PRIO_PROCESS, pid, lower)
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(FIRST_TO_BE_KILLED)


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    parts, size = [], 0
    while stream is not None and (part := await stream.read(_CHUNK_BYTES)):
        parts.append(part)
        size += len(part)
        if size > MAX_OUTPUT_BYTES:
            raise _Failed("there are too many differences for a page. Run the command in a terminal")
    return b"".join(parts)


async def _kill(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

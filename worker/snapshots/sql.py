"""An SQL statement on a snapshot of the public tables, run in a process of its own."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, cast

import msgspec
import pyarrow as pa

from worker.errors import Exit, Refusal
from worker.queries.snapshot import SnapshotQuery, TableColumns
from worker.queries.snapshot_client import take_snapshot
from worker.settings import Settings
from worker.snapshots.sandbox import MESSAGE_CHARACTERS, Failure, Line, Request

_START = "import sys; sys.path[:] = {}; from worker.snapshots.sandbox import main; main()"
_KEPT_VARIABLES = {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
"""Variables that Python may need to find its libraries."""
PART_BYTES = 1024 * 1024
_LAST_BYTES = 4 * MESSAGE_CHARACTERS + 1_000


class Limits(NamedTuple):
    """Limits of a statement: rows of its result, seconds that it runs, and memory of its database."""

    rows: int
    seconds: float
    memory_mib: int


class Result(NamedTuple):
    """The result of a statement. `has_more` is True if rows were left out."""

    rows: pa.RecordBatchReader
    has_more: bool


@contextmanager
def run_sql(settings: Settings, statement: str, limits: Limits, received: Callable[[int], object]) -> Iterator[Result]:
    """Run a statement and yield its result. `received` is called with the bytes of the snapshot so far.

    Raises `Refusal`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="customer-worker-") as directory,
        tempfile.TemporaryFile() as snapshot,
        tempfile.TemporaryFile() as answer,
        tempfile.TemporaryFile() as errors,
    ):
        request = Request(statement, limits.rows, limits.seconds, limits.memory_mib, snapshot.fileno(), directory)
        with closing(Sandbox(request, limits, errors)) as sandbox:
            if tables := sandbox.needed_tables():
                take_snapshot(settings, SnapshotQuery(tables), snapshot, received)
            last = sandbox.run(answer)
        answer.seek(0)
        with pa.ipc.open_stream(pa.PythonFile(cast("io.IOBase", answer), mode="r")) as rows:
            yield Result(rows, last.has_more)


class Sandbox:
    """The process of a statement. It has the snapshot's descriptor, a directory, and nothing of the environment."""

    def __init__(self, request: Request, limits: Limits, errors: IO[bytes]) -> None:
        self._limits = limits
        self._errors = errors
        paths = json.dumps([str(Path(each).absolute()) for each in sys.path])
        self._process = subprocess.Popen(  # noqa: S603 - this Python, and a program without variable parts
            [sys.executable, "-I", "-c", _START.format(paths)],
            env={name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES},
            cwd=request.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            pass_fds=[request.snapshot],
            start_new_session=True,  # Ctrl-C ends the command, which ends the process
        )
        self._send(msgspec.json.encode(request))

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def needed_tables(self) -> list[TableColumns]:
        """Return the tables that the statement needs, once it is accepted. Raises `Refusal`."""
        return self._accepted(self._output.readline()).tables

    def run(self, answer: IO[bytes]) -> Line:
        """Run the statement on the snapshot, and write its result to a file. Raises `Refusal`."""
        self._send(b"")
        while part := self._output.read(PART_BYTES):
            answer.write(part)
            if answer.tell() > self._limits.memory_mib * 2**20:
                raise self._refusal(Failure.MEMORY)
        answer.seek(max(0, answer.tell() - _LAST_BYTES))
        return self._accepted(answer.read().rstrip().rpartition(b"\n")[2])

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError):  # its end is found where its output is read
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def _accepted(self, encoded: bytes) -> Line:
        """Decode a line. Raises `Refusal` if the statement failed, or if the process has ended."""
        try:
            line = msgspec.json.decode(encoded, type=Line)
        except msgspec.DecodeError:
            raise self._ended() from None
        if line.failed is not None:
            raise self._refusal(line.failed, line.message)
        return line

    def _ended(self) -> Refusal:
        """Describe the end of a process that the system has ended, or that failed."""
        code = self._process.wait()
        if code == -signal.SIGALRM:
            return self._refusal(Failure.TIME)
        if code < 0:  # out of memory, libraries abort
            return self._refusal(Failure.MEMORY)
        self._errors.seek(0)
        cause = self._errors.read().decode(errors="backslashreplace").strip().rpartition("\n")[2]
        return Refusal(f"the process of the statement ended with {code}: {cause}", Exit.NO)

    def _refusal(self, failure: Failure, message: str = "") -> Refusal:
        if failure is Failure.REFUSED:
            return Refusal(f"the statement was not run: {message}", Exit.USAGE)
        if failure is Failure.TIME:
            return Refusal(
                f"the statement was ended after {self._limits.seconds:g} s. Simplify it, or raise --timeout", Exit.NO
            )
        return Refusal(
            f"the statement needs more than {self._limits.memory_mib:,} MiB of memory. Simplify it, or raise --memory",
            Exit.NO,
        )

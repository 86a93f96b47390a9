"""Starts the processes of a test: by `subprocess`, or by the fork server, which has the dependencies loaded."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Protocol

REPOSITORY = Path(__file__).parents[2]
MODULE = [sys.executable, "-m"]
_allowed: list[ExitStack] = []
_servers: list[_ForkServer] = []


class Process(Protocol):
    """The part of `subprocess.Popen` that the tests use."""

    @property
    def pid(self) -> int:
        """The process id."""

    def poll(self) -> int | None:
        """Give the exit code; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code; raises `subprocess.TimeoutExpired`."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""

    def kill(self) -> None:
        """Send SIGKILL, unless the process has ended."""


class _ForkedProcess:
    """A process that the fork server started. Its id and its exit code come through a pipe."""

    def __init__(self, pipe: IO[str], command: Sequence[str]) -> None:
        self._pipe = pipe
        self._command = command
        self._exit_code: int | None = None
        self.pid = int(pipe.readline())

    def poll(self) -> int | None:
        return self._read(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._read(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self._command, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self, timeout: float | None) -> int | None:
        if self._exit_code is None and select.select([self._pipe], [], [], timeout)[0]:
            self._exit_code = int(self._pipe.readline())
            self._pipe.close()
        return self._exit_code


class _ForkServer:
    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")  # a fork has one thread
        with theirs:
            self._process = subprocess.Popen(
                [*MODULE, "tests.support.fork_server", str(theirs.fileno())],
                env=os.environ | single | {"PYTHONPATH": str(REPOSITORY)},
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        output: IO[bytes],
        error: IO[bytes],
    ) -> Process:
        module, *arguments = command[len(MODULE) :]
        request = {
            "module": module,
            "arguments": arguments,
            "environment": dict(environment),
            "directory": str(directory),
        }
        ours, theirs = os.pipe()
        with Path(os.devnull).open("rb") as nothing:
            streams = [nothing.fileno(), output.fileno(), error.fileno(), theirs]
            socket.send_fds(self._requests, [json.dumps(request).encode()], streams)
        os.close(theirs)
        return _ForkedProcess(os.fdopen(ours, buffering=1), command)

    def stop(self) -> None:
        self._requests.close()
        self._process.wait()


@contextmanager
def fork_server() -> Iterator[None]:
    """Start modules of Python by forks until the block ends; the server starts with the first of them."""
    with ExitStack() as cleanup:
        _allowed.append(cleanup)
        yield
        _allowed.remove(cleanup)
        _servers.clear()


def _server() -> _ForkServer:
    if not _servers:
        server = _ForkServer()
        _allowed[-1].callback(server.stop)
        _servers.append(server)
    return _servers[-1]


def start_process(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, output: IO[bytes], error: IO[bytes]
) -> Process:
    """Start a process that reads nothing. A module of Python is forked from the fork server where one runs."""
    if _allowed and list(command[: len(MODULE)]) == MODULE:
        return _server().start(command, environment, directory, output, error)
    return subprocess.Popen(
        command, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=error
    )


def run_process(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, limit_s: float, *, merged: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """Run a process that ends by itself. `merged`: what it writes to standard error goes to standard output."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error:
        process = start_process(command, environment, directory, output, output if merged else error)
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(command, code, _content(output), _content(error))


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()

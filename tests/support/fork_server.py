"""A process that has the worker's dependencies loaded and forks for each command that the tests start.

Loading them takes 0.7 s of CPU time, and the suite starts several hundred processes. Modules of the command
line are not among these: its console reads the environment as it is imported. So do failpoints: a process that has one
imports the worker's modules anew.
A forked process has its own environment, directory, streams, signals and exit code, as one that was started cold.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from worker import failpoints

PRELOADED = (
    "aiokafka.abc",
    "confluent_kafka.admin",
    "duckdb",
    "faststream.asgi",
    "faststream.kafka",
    "jinja2",
    "msgspec",
    "numpy",
    "prometheus_client",
    "psycopg",
    "pyarrow.compute",
    "rich.console",
    "rich.table",
    "structlog",
    "typer.rich_utils",
    "uvicorn",
    "uvloop",
    "worker.app",
    "worker.http.pages.overview",
    "worker.queries.local",
    "worker.reconcile.reconcile",
    "worker.redrive.redrive",
    "worker.replay.replay",
    "worker.runtime.http_service",
    "worker.stores.duckdb.backend",
    "worker.stores.postgres.backend",
)
LARGEST_REQUEST = 1 << 20
INHERITED = 4
"""Descriptors in a request: standard input, output and error of the process, and the pipe for its exit status."""


class _Server:
    """Forks on request. The exit status of each process, as `waitpid` has it, goes to the pipe of its request."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._pipes: dict[int, int] = {}
        self._woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes)

    def next_process(self) -> tuple[Any, list[int]]:
        """Fork for each request; returns in the child, with its request. Ends the server with its client."""
        while True:
            ready, _, _ = select.select([self._requests.fileno(), self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._report_ended()
            if self._requests.fileno() in ready:
                message, descriptors, _, _ = socket.recv_fds(self._requests, LARGEST_REQUEST, INHERITED)
                if not message:
                    raise SystemExit(0)
                pid = os.fork()
                if pid == 0:
                    self._requests.close()
                    return json.loads(message), descriptors
                self._started(pid, descriptors)

    def _started(self, pid: int, descriptors: list[int]) -> None:
        *streams, pipe = descriptors
        for descriptor in streams:
            os.close(descriptor)
        self._pipes[pid] = pipe
        os.write(pipe, f"{pid}\n".encode())

    def _report_ended(self) -> None:
        while self._pipes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            pipe = self._pipes.pop(pid)
            with suppress(BrokenPipeError):
                os.write(pipe, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(pipe)


def _become(request: Any, descriptors: list[int]) -> str:
    """Take the request's streams, directory, environment and arguments; gives the module to run."""
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, 256)
    signal.set_wakeup_fd(-1)
    for each in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if failpoints.VARIABLE in os.environ:  # the modules take it from the environment as they are imported
        for name in [name for name in sys.modules if name.partition(".")[0] == "worker"]:
            del sys.modules[name]
    module: str = request["module"]
    sys.argv = [module, *request["arguments"]]
    sys.path[0] = request["directory"]
    return module


def main() -> NoReturn:
    """Serve on the socket whose descriptor is the argument."""
    for name in PRELOADED:
        import_module(name)
    gc.collect()
    gc.freeze()  # a collection in the fork would copy the memory that it shares: 0.3 s of CPU time for each process
    module = _become(*_Server(socket.socket(fileno=int(sys.argv[1]))).next_process())
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    raise SystemExit(0)


if __name__ == "__main__":
    main()

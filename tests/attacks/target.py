"""The worker that is attacked: it runs beside a Kafka and has a customer whose revenue must not be seen."""

from __future__ import annotations

import json
import resource
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from tests.support.kafka.cluster import Kafka
from tests.support.operating import serve
from tests.support.records import Message
from tests.support.spelling import cancellation, signup
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess
from worker.queries import catalogue

ADA = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
REVENUE = "7319.53"
TOKEN = "5a8f0c6e3b1d-never-to-be-shown-9e2f7a40"
EXPLAIN = f"/ask/explain?parameters={quote(json.dumps({'customer_id': ADA}))}"
QUERIES = (EXPLAIN, *(f"/ask/{name}" for name in catalogue.QUERIES), "/ask/worker", "/ask/")
DESCRIPTORS = 1024
"""The usual limit of a process."""


class Answer(NamedTuple):
    """A response."""

    status: int
    body: str
    headers: Mapping[str, str]


class Target:
    """A stage whose worker serves at `port`, with a token or without."""

    def __init__(self, stage: Stage, worker: WorkerProcess) -> None:
        self.stage = stage
        self.worker = worker
        self.port = int(stage.settings["HTTP__PORT"])

    def get(self, path: str, headers: Mapping[str, str] | None = None, port: int | None = None) -> Answer:
        """Return the worker's response, at its port or at that of something before it."""
        return get(port or self.port, path, headers or {})

    def require_refused(self, path: str, headers: Mapping[str, str], *statuses: int, port: int | None = None) -> int:
        """Require that a request is refused without customer data; gives the status."""
        answer = self.get(path, headers, port)
        assert answer.status in statuses, f"{path} with {dict(headers)}: {answer.status} {answer.body}"
        assert REVENUE not in answer.body
        assert ADA not in answer.body
        return answer.status

    def take(self, *messages: Message) -> None:
        """Let the worker decide these records."""
        decided = self.worker.records_taken() + len(messages)
        self.stage.produce(messages)
        self.worker.wait_until(lambda: self.worker.records_taken() >= decided, "everything consumed")

    def descriptors(self) -> int:
        """Return the number of descriptors that the worker has open."""
        return sum(1 for _ in Path(f"/proc/{self.worker.pid}/fd").iterdir())


def get(port: int, path: str, headers: Mapping[str, str], limit_s: float = 10) -> Answer:
    """Request a path on this machine."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=limit_s)) as connection:
        connection.putrequest("GET", path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(), {k.lower(): v for k, v in response.getheaders()})


@contextmanager
def running_target(kafka: Kafka, **settings: str) -> Iterator[Target]:
    """Run a worker that has applied a signup, in a directory that every user of the machine can enter."""
    with tempfile.TemporaryDirectory(prefix="attacked-") as directory:
        Path(directory).chmod(0o755)
        stage = Stage(kafka, Path(directory))
        try:
            serve(stage)
            stage.settings |= {"LOG__LEVEL": "DEBUG", "LOG__FORMAT": "json"} | settings
            stage.create_topics(1)
            target = Target(stage, stage.start())
            resource.prlimit(target.worker.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
            terms = {"mrr": f'{{"amount": "{REVENUE}", "currency": "USD"}}'}
            target.take(Message("signup", ADA.encode(), signup(ADA, **terms)))
            target.take(Message("cancellation", ADA.encode(), cancellation(ADA)))
            target.worker.wait_until(lambda: target.get("/readyz").status == 200, "ready")
            yield target
        finally:
            stage.close()


def connect(port: int) -> socket.socket:
    """Connect to a port of this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=10)

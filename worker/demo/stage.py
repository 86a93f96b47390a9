"""Who plays: the sender, the worker and a reader of the topics; and how an act waits for its effect."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from worker.demo.broker import Broker
from worker.demo.process import WorkerProcess
from worker.demo.story import Line
from worker.demo.traffic import Reader, Seen, Sender
from worker.errors import Exit, Refusal

PATIENCE_SECONDS = 60.0


class Stage:
    """What has been sent, what has been seen on the topics, and the worker of the moment."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        self.broker = broker
        self.store = directory / "customers.duckdb"
        self._log = directory / "worker.log"
        self._sender = Sender(broker)
        self._reader = Reader(broker)
        self._worker: WorkerProcess | None = None
        self.sent = self._sender.sent

    def send(self, lines: Iterable[Line]) -> None:
        """Put the lines on the input topics, in order."""
        self._sender.send(lines)

    def start_worker(self, settings: Mapping[str, str]) -> None:
        """Start the worker on its file; `settings` without their prefix."""
        self._worker = WorkerProcess(self.broker, self.store, self._log, settings)

    @property
    def worker(self) -> WorkerProcess:
        """The worker that was started last."""
        if self._worker is None:
            raise Refusal("no worker was started", Exit.NO)
        return self._worker

    @property
    def events(self) -> list[Seen]:
        """The `customer.churned` events seen so far."""
        return [seen for seen in self._reader.seen if seen.output == "churned"]

    @property
    def dead_letters(self) -> list[Seen]:
        """The dead letters seen so far."""
        return [seen for seen in self._reader.seen if seen.output != "churned"]

    def take_in(self, records: int, outputs: int, meanwhile: Callable[[], None] = lambda: None) -> Counter[str]:
        """Until the worker has decided so many more records, and so many more are on its topics; the outcomes."""
        worker = self.worker
        before = worker.outcomes.copy()
        all_outputs = len(self._reader.seen) + outputs

        def watch() -> None:
            worker.require_running()
            self.look()
            meanwhile()

        self.wait_until(
            lambda: worker.outcomes["records"] - before["records"] >= records and len(self._reader.seen) >= all_outputs,
            watch,
        )
        return worker.outcomes - before

    def look(self, seconds: float = 0.05) -> None:
        """See what is new on the topics and in the worker's log."""
        self._reader.poll(seconds)
        self.worker.follow()

    def wait_until(self, is_done: Callable[[], bool], watch: Callable[[], None]) -> None:
        """Watch until it is done. Raises `Refusal` when patience ends."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_done():
            if time.monotonic() > deadline:
                raise self.worker.refusal(f"the worker was not done within {PATIENCE_SECONDS:.0f} s")
            watch()

    def close(self) -> None:
        """Leave no process and no connection behind."""
        if self._worker is not None:
            self._worker.kill()
        self._reader.close()

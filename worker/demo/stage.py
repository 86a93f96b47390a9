"""The stage of the demo: a sender, the worker, and a reader of the output topics."""

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

TIMEOUT_SECONDS = 60.0


class Stage:
    """The records sent, the records read from the output topics, and the current worker."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        self.broker = broker
        self.store = directory / "customers.duckdb"
        self._log = directory / "worker.log"
        self._sender = Sender(broker)
        self._reader = Reader(broker)
        self._worker: WorkerProcess | None = None
        self.sent = self._sender.sent

    def send(self, lines: Iterable[Line]) -> None:
        """Send the lines to the input topics, in order."""
        self._sender.send(lines)

    def start_worker(self, settings: Mapping[str, str]) -> None:
        """Start the worker on its store file; `settings` have no prefix."""
        self._worker = WorkerProcess(self.broker, self.store, self._log, settings)

    @property
    def worker(self) -> WorkerProcess:
        """The worker started last."""
        if self._worker is None:
            raise Refusal("no worker was started", Exit.NO)
        return self._worker

    @property
    def events(self) -> list[Seen]:
        """The `customer.churned` events read so far."""
        return [seen for seen in self._reader.seen if seen.output == "churned"]

    @property
    def dead_letters(self) -> list[Seen]:
        """The dead letters read so far."""
        return [seen for seen in self._reader.seen if seen.output != "churned"]

    def take_in(self, records: int, outputs: int, meanwhile: Callable[[], None] = lambda: None) -> Counter[str]:
        """Wait until so many more records are decided, and so many more outputs read. Returns the outcomes."""
        worker = self.worker
        before = worker.outcomes.copy()
        all_outputs = len(self._reader.seen) + outputs

        def watch() -> None:
            worker.require_running()
            self.poll()
            meanwhile()

        self.wait_until(
            lambda: worker.outcomes["records"] - before["records"] >= records and len(self._reader.seen) >= all_outputs,
            watch,
        )
        return worker.outcomes - before

    def poll(self, seconds: float = 0.05) -> None:
        """Read new records of the topics and new lines of the worker's log."""
        self._reader.poll(seconds)
        self.worker.follow()

    def wait_until(self, is_done: Callable[[], bool], watch: Callable[[], None]) -> None:
        """Call `watch` until `is_done`. Raises `Refusal` on a timeout."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not is_done():
            if time.monotonic() > deadline:
                raise self.worker.refusal(f"the worker was not done within {TIMEOUT_SECONDS:.0f} s")
            watch()

    def close(self) -> None:
        """Kill the worker, and close the reader."""
        if self._worker is not None:
            self._worker.kill()
        self._reader.close()

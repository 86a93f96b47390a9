"""Records without end: signups, cancellations ahead and behind, repeats, contradictions, every bad record there is."""

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from itertools import islice

from tests.support.corpus import make_corpus
from tests.support.murmur2 import partition_of
from tests.support.producing import CODECS, enqueue, finish, raw_producer
from tests.support.records import Message, Topics

A_SECOND = 250
PARTS_A_SECOND = 5
CUSTOMERS_A_CORPUS = 1_500
STOP_LIMIT_S = 150.0


class Load(threading.Thread):
    """Produces until stopped, straight to the brokers. `sent` counts; `failure` is set where Kafka refused a record.

    Partitions that have a leader get their records while others wait for one.
    """

    def __init__(self, bootstrap_servers: str, topics: Topics, seed: int, partitions: int) -> None:
        super().__init__(name="load", daemon=True)
        self.sent = 0
        self.failure: BaseException | None = None
        self._topics = topics
        self._producer = raw_producer(bootstrap_servers, CODECS[seed % len(CODECS)])
        self._messages = (_placed(message, partitions) for message in _endless(seed, partitions))
        self._over = threading.Event()

    def run(self) -> None:
        """Send a part, rest, send the next; at the end, wait for all."""
        refused: list[str] = []
        try:
            while not self._over.wait(1 / PARTS_A_SECOND):
                part = list(islice(self._messages, A_SECOND // PARTS_A_SECOND))
                enqueue(self._producer, self._topics, part, refused)
                self.sent += len(part)
                assert not refused, refused[:5]
            finish(self._producer, refused)
        except BaseException as failure:  # told to the main thread, which asks
            self.failure = failure
            raise

    def stop(self) -> None:
        """No further record; raises what ended the thread before."""
        self._over.set()
        self.join(STOP_LIMIT_S)
        if self.failure is not None:
            raise AssertionError(f"the load could not be produced: {self.failure}") from self.failure
        assert not self.is_alive(), "the load hangs"

    def stop_quietly(self) -> None:
        """No further record; used where something else has failed already."""
        self._over.set()
        self.join(STOP_LIMIT_S)


def _endless(seed: int, partitions: int) -> Iterator[Message]:
    number = 0
    while True:
        corpus = make_corpus(CUSTOMERS_A_CORPUS, partitions, seed=seed * 1_000 + number, troubles=number % 3 == 0)
        # Side by side, so that some cancellations come ahead of their signups; each topic keeps its order.
        yield from _merged(corpus.signups, [*corpus.early, *corpus.cancellations])
        number += 1


def _placed(message: Message, partitions: int) -> Message:
    """On the partition its key led to at first: one customer's records stay in one order also where a topic grows."""
    if message.partition is not None or not message.key:
        return message
    return dataclasses.replace(message, partition=partition_of(message.key, partitions))


def _merged(first: Sequence[Message], second: Sequence[Message]) -> Iterator[Message]:
    placed = [
        ((place + 0.5) / len(part), which, message)
        for which, part in enumerate((first, second))
        for place, message in enumerate(part)
    ]
    return (message for *_, message in sorted(placed, key=lambda each: each[:2]))

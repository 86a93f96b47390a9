"""Customers who sign up and leave, and what others write to `customer.churned`."""

import uuid
from collections.abc import Sequence
from typing import Any

from tests.support.producing import raw_producer
from tests.support.reader import read_committed
from tests.support.records import Message, Record
from tests.support.spelling import cancellation, quoted, signup
from tests.support.stage import Stage

DAY = "2026-06-30"


def people(count: int, seed: int = 0) -> list[str]:
    """Ids of customers; another seed gives others."""
    return [str(uuid.UUID(int=(seed << 64) + number, version=4)) for number in range(count)]


def lives(who: Sequence[str], day: str = DAY, mrr: str = "100.00") -> list[Message]:
    """Each signs up and leaves."""
    return [Message("signup", each.encode(), signup(each, mrr=quoted(mrr))) for each in who] + [
        Message("cancellation", each.encode(), cancellation(each, cancellation_date=quoted(day))) for each in who
    ]


def events(stage: Stage) -> dict[str, Record]:
    """Return the last record of each key on `customer.churned`."""
    records = read_committed(stage.kafka.bootstrap_servers, stage.topics.churned)
    return {(record.key or b"").decode(): record for record in records}


def put(stage: Stage, key: str, value: bytes | None, partition: int | None = None) -> None:
    """Somebody else writes to `customer.churned`."""
    producer = raw_producer(stage.kafka.bootstrap_servers)
    where: dict[str, Any] = {} if partition is None else {"partition": partition}
    producer.produce(stage.topics.churned, value, key.encode(), **where)
    assert producer.flush(30) == 0

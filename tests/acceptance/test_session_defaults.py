"""Workers whose PostgreSQL roles have other session defaults decide correctly side by side."""

import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.support.comparison import require_as_expected
from tests.support.producing import raw_producer, send
from tests.support.records import Message
from tests.support.spelling import cancellation, signup
from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(120)
PARTITIONS = 2
ROUNDS, IN_A_ROUND = 100, 20
PAUSE_S = 0.02
LEVELS = ("repeatable read", "serializable")


@pytest.fixture
def urls(url: str) -> Iterator[list[str]]:
    """Yield the store's address as users with these default levels of isolation."""
    parts = urlsplit(url)
    names = [f"{level.replace(' ', '_')}_{uuid.uuid4().hex[:8]}" for level in LEVELS]
    with psycopg.connect(url, autocommit=True) as admin:
        for name, level in zip(names, LEVELS, strict=True):
            admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER".encode())
            admin.execute(f"ALTER ROLE {name} SET default_transaction_isolation = '{level}'".encode())
        yield [urlunsplit(parts._replace(netloc=f"{name}@{parts.netloc.rpartition('@')[2]}")) for name in names]
        for name in names:
            admin.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}".encode())


def test_concurrent_signups_and_cancellations_are_matched(stage: Stage, url: str, urls: list[str]) -> None:
    stage.create_topics(PARTITIONS)
    workers = [stage.start(STORE__URL=each) for each in urls]
    for worker in workers:
        worker.wait_until(lambda at=worker: bool(at.events("started")), "started")  # type: ignore[misc]
    workers[0].wait_until(lambda: stage.members() == len(workers), "two members in a group at rest")
    producer = raw_producer(stage.kafka.bootstrap_servers)
    for _ in range(ROUNDS):
        ids = [str(uuid.uuid4()) for _ in range(IN_A_ROUND)]
        # One worker reads the one partition, the other worker the other.
        signups = [Message("signup", each.encode(), signup(each), partition=0) for each in ids]
        cancellations = [Message("cancellation", each.encode(), cancellation(each), partition=1) for each in ids]
        send(producer, stage.topics, [*cancellations, *signups])
        time.sleep(PAUSE_S)  # a batch each: what is tested happens between batches
    stage.wait_until_consumed(workers[0])
    with psycopg.connect(url) as db:
        left = db.execute("SELECT count(*) FROM parked JOIN customers USING (customer_id)").fetchall()
    assert left == [(0,)], "cancellations stay parked though their customers signed up"
    stage.wait_until_published(workers[0])
    for worker in workers:
        worker.terminate()
    assert [worker.wait() for worker in workers] == [0] * len(workers)
    require_as_expected(stage.expected(), stage.published(), stage.store(), stage.topics, [PARTITIONS])

"""A standby of PostgreSQL is promoted beside running workers: nothing is lost, and nothing is published twice."""

from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.corpus import make_corpus
from tests.support.many_workers import finish, start_three, wait_for_batches
from tests.support.operating import ends
from tests.support.postgres.replication import Pair, replicated_postgres
from tests.support.postgres.server import fresh_schema
from tests.support.stage import PARTITIONS, Stage
from tests.support.worker_process import WorkerProcess
from worker.errors import Exit

pytestmark = pytest.mark.timeout(280)
LOST = "store lost commits"


@pytest.fixture
def pair() -> Iterator[Pair]:
    with replicated_postgres() as running:
        yield running


@pytest.fixture
def url(stage: Stage, pair: Pair) -> str:
    stage.settings["STORE__URL"] = fresh_schema(pair)
    stage.create_topics()
    return stage.settings["STORE__URL"]


def positions(url: str) -> int:
    """Return the number of offsets that the store has read."""
    with psycopg.connect(url, autocommit=True) as db:
        [(read,)] = db.execute("SELECT coalesce(sum(next_offset), 0) FROM positions").fetchall()
        return int(read)


def fail_over(pair: Pair) -> None:
    pair.primary.kill()
    pair.promote()


def lost_commits(workers: list[WorkerProcess]) -> list[str]:
    return [str(event["reason"]) for worker in workers for event in worker.events(LOST)]


def test_failover_to_a_synchronous_standby(stage: Stage, pair: Pair, url: str) -> None:
    pair.add_standby(is_synchronous=True)
    corpus = make_corpus(6_000, PARTITIONS)
    stage.produce(corpus.early)
    workers = start_three(stage)
    stage.produce(corpus.signups)
    stage.produce(corpus.cancellations)
    wait_for_batches(*workers, count=3)
    fail_over(pair)
    finish(stage, url, *workers)
    assert any(worker.events("store failed over") for worker in workers)
    assert lost_commits(workers) == []


def test_failover_to_a_standby_that_was_behind(stage: Stage, pair: Pair, url: str) -> None:
    """The workers are idle: no further record shows them that the store has gone back."""
    standby = pair.add_standby(is_synchronous=False)
    corpus = make_corpus(2_000, PARTITIONS, seed=3)
    stage.produce(corpus.early)
    stage.produce(corpus.signups)
    workers = start_three(stage)
    stage.wait_until_consumed(workers[0])
    standby.catch_up()
    standby.disconnect()
    kept = positions(url)
    stage.produce(corpus.cancellations)
    stage.wait_until_consumed(workers[0])
    stage.wait_until_published(workers[0])
    read = positions(url)
    fail_over(pair)
    assert positions(url) == kept
    workers[0].wait_until(lambda: positions(url) == read, "read again")
    lost = sum(int(reason.split(" offsets")[0].rpartition(" ")[2]) for reason in lost_commits(workers))
    assert lost == read - kept
    finish(stage, url, *workers)


def test_records_deleted_before_a_failover_are_named(stage: Stage, pair: Pair, url: str) -> None:
    standby = pair.add_standby(is_synchronous=False)
    corpus = make_corpus(200, PARTITIONS, seed=5)
    worker = stage.start()
    stage.produce(corpus.signups)
    stage.wait_until_consumed(worker)
    standby.catch_up()
    standby.disconnect()
    stage.produce(corpus.cancellations)
    stage.wait_until_consumed(worker)
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    all_records = [TopicPartition(stage.topics.cancellation, number, -1) for number in range(PARTITIONS)]
    for done in admin.delete_records(all_records).values():
        done.result(30)
    fail_over(pair)
    assert worker.wait() == Exit.SAFETY
    assert "were deleted before they were read" in worker.tail()


def test_two_primaries_lose_and_repeat_nothing(stage: Stage, pair: Pair, url: str) -> None:
    """One worker stays on the former primary, until that ends; another one works on the promoted standby."""
    standby = pair.add_standby(is_synchronous=False)
    corpus = make_corpus(3_000, PARTITIONS, seed=7)
    stage.produce(corpus.early)
    stage.produce(corpus.signups)
    stays = stage.start()
    stage.wait_until_consumed(stays)
    standby.catch_up()
    standby.disconnect()
    pair.promote()
    assert pair.former is not None
    promoted = url.replace(quote(f"{pair.former.directory},", safe=","), "")
    moves = stage.start(STORE__URL=promoted, BATCH__MAX_RECORDS="100")
    moves.wait_until(lambda: stage.members() == 2, "two members in a group at rest")
    before = len(stays.events("batch applied"))
    stage.produce(corpus.cancellations)
    wait_for_batches(stays, count=before + 1)
    wait_for_batches(moves)
    stage.wait_until_consumed(moves)
    pair.former.kill()
    read = sum(end for (topic, _), end in ends(stage).items() if topic in stage.topics.inputs)
    moves.wait_until(lambda: positions(promoted) == read, "read again")
    finish(stage, promoted, stays, moves)
    assert stays.events(LOST)

"""Kafka's own tool moves the group: backwards repeats nothing, forwards is refused."""

import pytest

from tests.support.corpus import make_corpus
from tests.support.records import Message
from tests.support.spelling import signup
from tests.support.stage import PARTITIONS, Stage

pytestmark = pytest.mark.timeout(180)
REFUSED = 70
ADA = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
SETTING = "CUSTOMER_WORKER_SAFETY__ALLOW_SKIP_FORWARD"


def test_rewound_group_rereads_all_and_publishes_nothing(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(2_000, PARTITIONS).messages)
    stage.run_to_the_end_of_the_topics()
    before, journal = stage.published(), stage.store().journal
    stage.reset_group("--to-earliest")
    worker = stage.run_to_the_end_of_the_topics()
    taken = sum(int(str(batch["records"])) for batch in worker.events("batch applied"))
    assert taken == len(stage.expected().outcomes), "the rewound records were not read again"
    assert sorted(map(repr, stage.published())) == sorted(map(repr, before))
    assert stage.store().journal == journal
    stage.require_as_expected()


@pytest.mark.parametrize("how", [("--to-latest",), ("--shift-by", "30")], ids=["to the end", "by 30 records"])
def test_group_moved_forward_is_refused_and_names_the_setting(stage: Stage, how: tuple[str, ...]) -> None:
    stage.create_topics()
    stage.produce(make_corpus(500, PARTITIONS, troubles=False).messages)
    stage.run_to_the_end_of_the_topics()
    stage.produce(make_corpus(500, PARTITIONS, seed=2, troubles=False).messages)
    before = stage.store()
    stage.reset_group(*how)
    worker = stage.start()
    assert worker.wait() == REFUSED, worker.tail()
    assert SETTING in worker.said()
    assert stage.store() == before, "it took records although it refused to"


def test_skipped_records_are_decided_once_after_a_rewind(stage: Stage) -> None:
    stage.create_topics(1)
    stage.produce([Message("signup", b"", signup(ADA)), *refused(3)])
    stage.run_to_the_end_of_the_topics()
    stage.produce([*refused(4), Message("signup", b"", signup(ADA))])
    stage.move_group("end")
    stage.produce(refused(2))
    worker = stage.start(SAFETY__ALLOW_SKIP_FORWARD="true")
    stage.wait_until_consumed(worker)
    assert worker.stop() == 0, worker.tail()
    assert len(stage.published()) == 3 + 2
    stage.move_group("start")
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def refused(count: int) -> list[Message]:
    """Signups that get a dead letter each."""
    return [Message("signup", b"%d" % number, b"{") for number in range(count)]


def test_skipping_forward_is_done_where_the_setting_allows_it(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(500, PARTITIONS, troubles=False).messages)
    stage.run_to_the_end_of_the_topics()
    customers = len(stage.store().customers)
    stage.produce(make_corpus(500, PARTITIONS, seed=2, troubles=False).messages)
    stage.move_group("end")
    # Plain first signups, of people whom the skipped records say nothing of.
    stage.produce(make_corpus(10, PARTITIONS, seed=3, troubles=False).signups[:10])
    worker = stage.start(SAFETY__ALLOW_SKIP_FORWARD="true")
    stage.wait_until_consumed(worker)
    assert worker.stop() == 0, worker.tail()
    assert len(stage.store().customers) == customers + 10

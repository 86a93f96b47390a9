"""What is published fits the topics: batches by their `max.message.bytes`, and a record that never fits is named."""

import json
from collections.abc import Iterable
from random import Random
from uuid import UUID

import pytest

from tests.support.comparison import require_as_expected
from tests.support.kafka.configuring import configure
from tests.support.kafka.secured import SecuredKafka, least_rights
from tests.support.operating import said
from tests.support.records import Message
from tests.support.spelling import padded
from tests.support.stage import Stage
from tests.worker.builders import ADA, cancellation_value, signup_value

pytestmark = pytest.mark.timeout(120)
SMALL = 128 * 1024
"""A `max.message.bytes` below that of a whole batch of the relay."""

MANY = 1_500
"""Events of about 0.6 kB: several times `SMALL`."""

IDS = [str(UUID(int=number)) for number in range(MANY)]
INCOMPRESSIBLE = Random(1).randbytes(300_000)


def churns() -> Iterable[Message]:
    yield from (Message("signup", each.encode(), signup_value(each)) for each in IDS)
    yield from (Message("cancellation", each.encode(), cancellation_value(each)) for each in IDS)


def require_all_published(stage: Stage) -> None:
    require_as_expected(stage.expected(), stage.published(), stage.store(), stage.topics, partitions_of_churned=(1,))


def limit(stage: Stage, topic: str, size: int) -> None:
    configure(stage.kafka.bootstrap_servers, topic, "max.message.bytes", str(size))


def test_backlog_fits_topics_that_take_little(creating_stage: Stage) -> None:
    stage = creating_stage
    stage.create_topics(1)
    for topic in (stage.topics.churned, *stage.topics.dead_letters):
        limit(stage, topic, SMALL)
    stage.produce(churns())
    bad = [Message("signup", b"bad", b"no json " + str(number).encode() * 500) for number in range(200)]
    stage.produce([*bad, Message("signup", b"large", padded(signup_value(ADA), 200_000))])
    worker = stage.run_to_the_end_of_the_topics()
    assert not worker.events("publishing failed, recovering")
    require_all_published(stage)


def test_topic_made_smaller_under_a_worker_gets_smaller_batches(creating_stage: Stage) -> None:
    stage = creating_stage
    stage.create_topics(1)
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
    limit(stage, stage.topics.churned, SMALL)
    stage.produce(churns())
    stage.finish(worker)
    require_all_published(stage)


def test_backlog_fits_topics_whose_configuration_is_hidden(creating_stage: Stage, creating_kafka: SecuredKafka) -> None:
    stage = creating_stage
    stage.create_topics(1)
    topics = stage.topics
    limit(stage, topics.churned, SMALL)
    stage.produce(churns())
    creating_kafka.allow(*least_rights(topics.inputs, (topics.churned, *topics.dead_letters), stage.group))
    worker = stage.run_to_the_end_of_the_topics(**creating_kafka.settings)
    [first, *_] = worker.events("batch size reduced")
    assert "DESCRIBE_CONFIGS" in str(first["advice"])
    require_all_published(stage)


def test_oversized_record_is_named_and_published_once_it_fits(creating_stage: Stage) -> None:
    stage = creating_stage
    stage.create_topics(1)
    [letters, _] = stage.topics.dead_letters
    limit(stage, letters, SMALL)
    large = Message("signup", ADA.encode(), INCOMPRESSIBLE)
    stage.produce([large])
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("publishing failed, recovering")), "a failure to publish")
    error = str(worker.events("publishing failed, recovering")[0]["error"])
    assert letters in error
    assert "max.message.bytes" in error
    limit(stage, letters, 1_048_588)
    stage.finish(worker)
    require_all_published(stage)


def test_check_names_topics_that_take_too_little(creating_stage: Stage) -> None:
    stage = creating_stage
    stage.create_topics(1)
    letters = stage.topics.dead_letters[0]
    for topic in (stage.topics.churned, letters):
        limit(stage, topic, 64 * 1024)
    printed = said(stage, "check", "--json", code=1)
    bad = {one["name"]: one["advice"] for one in json.loads(printed.splitlines()[0]) if not one["ok"]}
    assert bad.keys() == {f"room in {stage.topics.churned}", f"room in {letters}"}
    assert all("max.message.bytes" in advice for advice in bad.values())

"""The corpus of the tests covers every outcome, and reaches Kafka and the oracle byte for byte."""

import uuid
from collections import Counter

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.bad_records import BadRecord, bad_records
from tests.support.corpus import make_corpus
from tests.support.kafka.cluster import Kafka
from tests.support.murmur2 import murmur2, partition_of
from tests.support.odd_records import odd_cancellations, odd_signups
from tests.support.oracle import Expected, expected
from tests.support.producing import CODECS, produce
from tests.support.reader import read_committed
from tests.support.records import Headers, Message, Record, Topics

pytestmark = pytest.mark.timeout(120)
PARTITIONS = 8
TOPICS = Topics.with_prefix("t")


def test_bad_records_cover_every_reason() -> None:
    bad = bad_records()
    assert len({(each.kind, each.value, each.headers) for each in bad}) == len(bad) > 60
    assert len({each.name for each in bad}) == len(bad)
    assert {each.reason for each in bad} == {
        "empty", "too_large", "malformed", "invalid", "unsupported_currency", "unknown_plan_tier",
    }  # fmt: skip


@pytest.mark.parametrize("bad", bad_records(), ids=lambda bad: bad.name)
def test_oracle_rejects_each_bad_record_with_its_reason(bad: BadRecord) -> None:
    record = Record(TOPICS.of(bad.kind), 0, 0, 0, None, bad.value, bad.headers)
    assert expected([record], TOPICS, "g").outcomes == {record.coordinates: ("rejected", bad.reason)}


def test_the_oracle_accepts_each_odd_record() -> None:
    for number, odd in enumerate(odd_signups()):
        record = Record(TOPICS.signup, 0, number, 0, None, odd.value, odd.headers)
        result = expected([record], TOPICS, "g")
        assert result.outcomes == {record.coordinates: ("applied", None)}, odd.name
        assert list(result.customers) == [odd.customer_id], odd.name
    for number, ended in enumerate(odd_cancellations()):
        record = Record(TOPICS.cancellation, 0, number, 0, None, ended.value, ended.headers)
        assert expected([record], TOPICS, "g").parked == {record.coordinates}, ended.name


def test_the_same_seed_gives_the_same_records() -> None:
    assert make_corpus(500, PARTITIONS) == make_corpus(500, PARTITIONS)


def test_corpus_has_every_outcome_in_the_requested_shares() -> None:
    corpus = make_corpus(4_000, PARTITIONS)
    outcomes = Counter(_expected_of(corpus.messages).outcomes.values())
    assert outcomes["applied", None] > 4_000 + 2_000 * 0.99
    assert outcomes["duplicate", None] > 6_000 * 0.05
    for reason in ("signup_conflict", "already_churned", "churn_before_signup"):
        assert outcomes["rejected", reason] >= 15
    assert outcomes["parked", None] >= 20
    assert len(corpus.early) >= 100


def test_oracle_is_independent_of_the_topic_order() -> None:
    corpus = make_corpus(1_000, PARTITIONS)
    records = _as_records(corpus.messages)
    assert expected(records, TOPICS, "g") == expected(list(reversed(records)), TOPICS, "g")


@pytest.mark.parametrize("codec", CODECS)
def test_records_are_unchanged_with_each_codec(kafka: Kafka, codec: str) -> None:
    topics = Topics.with_prefix(f"corpus-{uuid.uuid4()}")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for created in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in topics.inputs]).values():
        created.result(30)
    messages = make_corpus(300, PARTITIONS).messages
    produce(kafka.bootstrap_servers, topics, messages, codec)
    read = Counter(
        (r.topic, r.key, r.value, r.headers) for r in read_committed(kafka.bootstrap_servers, *topics.inputs)
    )
    assert read == Counter((topics.of(m.kind), m.key, m.value, m.headers) for m in messages)


def test_murmur2_equals_the_java_clients() -> None:
    # The values of the Java client's own test of it.
    for key, hashed in ((b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)):
        assert murmur2(key) == hashed & 0xFFFFFFFF


def _expected_of(messages: list[Message]) -> Expected:
    return expected(_as_records(messages), TOPICS, "g")


def _as_records(messages: list[Message]) -> list[Record]:
    next_offset: Counter[tuple[str, int]] = Counter()
    records = []
    for message in messages:
        topic = TOPICS.of(message.kind)
        partition = partition_of(message.key or b"", PARTITIONS) if message.partition is None else message.partition
        headers: Headers = message.headers
        records.append(Record(topic, partition, next_offset[topic, partition], 0, message.key, message.value, headers))
        next_offset[topic, partition] += 1
    return records

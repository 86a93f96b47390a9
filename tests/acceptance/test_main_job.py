"""The main job on a real Kafka: topics and store equal the oracle's result."""

import pytest

from tests.support.bad_records import MARK, bad_records
from tests.support.corpus import make_corpus
from tests.support.oracle import DEAD_LETTER_PREFIX
from tests.support.producing import CODECS
from tests.support.stage import PARTITIONS, Stage

pytestmark = pytest.mark.timeout(240)


def test_hundred_thousand_signups_end_as_in_the_contract(stage: Stage) -> None:
    corpus = make_corpus(100_000, PARTITIONS)
    stage.create_topics()
    stage.produce(corpus.early)
    worker = stage.start()
    stage.wait_until_consumed(worker)  # now the cancellations ahead of their signups are surely parked
    stage.produce(corpus.signups)
    stage.produce(corpus.cancellations)
    stage.finish(worker)
    wanted = stage.require_as_expected()
    assert len(wanted.customers) > 100_000
    assert len(wanted.events) > 50_000 * 0.99
    _require_discreet_messages(stage)
    assert MARK not in worker.said(), "the log shows what a rejected record held"


def test_records_of_every_codec_are_read(stage: Stage) -> None:
    corpus = make_corpus(8_000, PARTITIONS)
    messages = list(corpus.messages)
    size = -(-len(messages) // len(CODECS))
    stage.create_topics()
    for number, codec in enumerate(CODECS):
        stage.produce(messages[number * size : (number + 1) * size], codec)
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def test_backlog_is_read_in_batches_of_limited_size(stage: Stage) -> None:
    corpus = make_corpus(20_000, PARTITIONS)
    stage.create_topics()
    stage.produce(corpus.messages)
    worker = stage.run_to_the_end_of_the_topics(BATCH__MAX_BYTES=str(1024 * 1024), BATCH__MAX_RECORDS="900")
    stage.require_as_expected()
    sizes = [batch["records"] for batch in worker.events("batch applied")]
    assert 900 in sizes
    assert set(sizes) <= set(range(901))


def _require_discreet_messages(stage: Stage) -> None:
    """Check that each dead letter's message names the field and the reason, never the value."""
    fields = {bad.name.encode(): bad.field for bad in bad_records()}
    seen = 0
    for letter in stage.published():
        headers = dict(letter.headers)
        if letter.topic == stage.topics.churned or letter.key not in fields:
            continue
        seen += 1
        message = (headers[f"{DEAD_LETTER_PREFIX}message"] or b"").decode()
        assert (fields[letter.key] or "") in message, f"{letter.key!r}: {message}"
        assert MARK not in message, f"{letter.key!r}: {message}"
    assert seen == len(fields)

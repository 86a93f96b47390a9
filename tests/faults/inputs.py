"""An input log changes: its start moves past the position, its topic is recreated, or it is truncated.

Workers must refuse with 70, and the store and the output topics must hold what comes of the records read before, and
nothing else. Offsets of another log mean nothing beside those of the old one, so each of these ends its play.
"""

import random
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from tests.faults.cluster import BROKERS
from tests.faults.fault import Fault
from tests.faults.play import Play
from tests.faults.reassigning import reassign
from tests.support.builders import signup_value
from tests.support.comparison import require_as_expected
from tests.support.kafka.configuring import configure
from tests.support.oracle import expected
from tests.support.reader import read_committed
from tests.support.records import Message, Record
from tests.support.stage import PARTITIONS

REFUSED = 70
ALLOWED = "CUSTOMER_WORKER_SAFETY__ALLOW_LOST_RECORDS=true"
UNREAD_S = 2.0
LIMIT_S = 60.0
BEYOND = 50
TRUNCATED = ("truncated and written again", "ends at offset")
RECREATED = ("deleted and created again", *TRUNCATED)
"""Brokers that have not heard of the new topic yet give the old id beside the new records."""
LEADING, BEHIND = 0, 1
"""Two brokers, as indexes into `kafka.nodes`."""
Halt = Callable[[], None]
"""Lets no worker read on."""
Harm = Callable[[Play, random.Random, Halt], tuple[Sequence[Record], Sequence[str]]]
"""Halts the workers and changes an input topic; gives the records before, and words of which a refusal has one."""


def faults() -> list[Fault]:
    """Every way in which an input log can change."""
    return [
        Fault("the log start moved past the position", _while_running(_move_start), ends_play=True),
        Fault("an input recreated with fewer records", _while_running(_recreate_with_fewer), ends_play=True),
        Fault("an input recreated with more records", _while_running(_recreate_with_more), ends_play=True),
        Fault("an input recreated while no worker runs", _while_stopped(_recreate_with_more), ends_play=True),
        Fault("an input truncated by an unclean election", _while_running(_truncate), ends_play=True),
        Fault("an input truncated and written beyond", _while_running(_truncate_and_write_beyond), ends_play=True),
    ]


def _while_running(harm: Harm) -> Callable[[Play, random.Random], str]:
    """Freeze the workers while the log changes: a moment that comes to any process."""

    def inflict(play: Play, rng: random.Random) -> str:
        def halt() -> None:
            for worker in play.workers:
                worker.freeze()

        records, words = harm(play, rng, halt)
        for worker in play.workers:
            worker.thaw()
        return _require_refusal(play, records, words)

    return inflict


def _while_stopped(harm: Harm) -> Callable[[Play, random.Random], str]:
    def inflict(play: Play, rng: random.Random) -> str:
        records, words = harm(play, rng, play.stop_all)
        play.start_all()
        return _require_refusal(play, records, words)

    return inflict


def _records(play: Play) -> list[Record]:
    """All that a worker can have read, or have on its way."""
    play.load.stop()
    return read_committed(play.cluster.kafka.bootstrap_servers, *play.stage.topics.inputs)


def _require_refusal(play: Play, records: Sequence[Record], words: Sequence[str]) -> str:
    """All workers end with 70 and one of these words; the store holds a prefix of the records, decided as they must."""
    for worker in play.workers:
        code = worker.wait(LIMIT_S)
        assert code == REFUSED, f"ended with {code} instead of {REFUSED}:\n{worker.tail()}"
    said = "\n".join(worker.said() for worker in play.workers)
    assert any(each in said for each in words), f"none of {words} in:\n{play.worker.tail()}"
    assert ALLOWED in said, f"the setting is not named:\n{play.worker.tail()}"
    with play.asking() as ask:
        rows = ask("SELECT topic, partition, next_offset FROM positions WHERE next_offset IS NOT NULL")
    positions = {(topic, partition): offset for topic, partition, offset in rows}
    stage = play.stage
    read = [record for record in records if record.offset < positions.get((record.topic, record.partition), 0)]
    wanted = expected(read, stage.topics, stage.group)
    require_as_expected(wanted, stage.published(), stage.store(), stage.topics, play.partitions_of_churned)
    return f"refused with {REFUSED} after {len(read):,} records, as expected of them"


def _move_start(play: Play, _: random.Random, halt: Halt) -> tuple[Sequence[Record], Sequence[str]]:
    halt()
    time.sleep(UNREAD_S)  # the load goes on: records that no worker has read
    records = _records(play)
    ends = play.ends(IsolationLevel.READ_UNCOMMITTED, play.stage.topics.signup)
    cut = [TopicPartition(*place, end) for place, end in ends.items()]
    for done in play.cluster.admin.delete_records(cut).values():
        done.result(30)
    return records, ["were deleted before they were read"]


def _recreate_with_fewer(play: Play, rng: random.Random, halt: Halt) -> tuple[Sequence[Record], Sequence[str]]:
    halt()
    records = _records(play)
    _recreate(play)
    _sign_up(play, rng, count=1)
    return records, RECREATED


def _recreate_with_more(play: Play, rng: random.Random, halt: Halt) -> tuple[Sequence[Record], Sequence[str]]:
    halt()
    records = _records(play)
    before = play.ends(IsolationLevel.READ_UNCOMMITTED, play.stage.topics.signup)
    _recreate(play)
    _sign_up(play, rng, count=max(before.values()) + BEYOND)
    return records, RECREATED


def _truncate(play: Play, rng: random.Random, halt: Halt) -> tuple[Sequence[Record], Sequence[str]]:
    """Leave a log that ends before the position."""
    records = _elect_uncleanly(play, rng, halt)
    _sign_up(play, rng, count=1)
    return records, TRUNCATED


def _truncate_and_write_beyond(play: Play, rng: random.Random, halt: Halt) -> tuple[Sequence[Record], Sequence[str]]:
    """Leave a log with other records before and after the position: no offset shows the change."""
    records = _elect_uncleanly(play, rng, halt)
    _sign_up(play, rng, count=2 * BEYOND)
    return records, TRUNCATED


def _elect_uncleanly(play: Play, rng: random.Random, halt: Halt) -> Sequence[Record]:
    """Let a broker become the leader that has not all records of its leader: the one with the records is killed.

    Returns the records before.
    """
    play.load.stop()  # a broker that is away fails it
    cluster, topic = play.cluster, play.stage.topics.signup
    configure(cluster.kafka.bootstrap_servers, topic, "min.insync.replicas", "1")
    configure(cluster.kafka.bootstrap_servers, topic, "unclean.leader.election.enable", "true")
    reassign(cluster, topic, [LEADING, BEHIND], play.directory)
    cluster.kafka.nodes[BEHIND].kill()
    play.on_cleanup(cluster.wait_until_whole)
    cluster.wait_for(lambda: cluster.in_sync(topic) == {LEADING}, "one replica in sync", LIMIT_S)
    _sign_up(play, rng, count=BEYOND)
    play.stage.wait_until_consumed(play.worker)
    halt()
    records = _records(play)
    cluster.kafka.nodes[LEADING].kill()
    cluster.kafka.nodes[BEHIND].restart()
    cluster.wait_for(lambda: cluster.in_sync(topic) == {BEHIND}, "unclean election", LIMIT_S)
    cluster.kafka.nodes[LEADING].restart()
    cluster.wait_until_whole()
    return records


def _recreate(play: Play) -> None:
    topic, admin = play.stage.topics.signup, play.cluster.admin
    admin.delete_topics([topic])[topic].result(30)
    play.cluster.wait_for(lambda: topic not in admin.list_topics(timeout=30).topics, "topic deleted", LIMIT_S)
    admin.create_topics([NewTopic(topic, PARTITIONS, BROKERS)])[topic].result(30)


def _sign_up(play: Play, rng: random.Random, count: int) -> None:
    """Put so many signups of new customers on each partition."""
    ids = [str(UUID(int=rng.getrandbits(128))) for _ in range(count * PARTITIONS)]
    play.stage.produce(
        Message("signup", customer_id.encode(), signup_value(customer_id), partition=number % PARTITIONS)
        for number, customer_id in enumerate(ids)
    )

"""An output topic refuses records for a while, or is cut by retention before the receipt on it was read."""

import random
import time

from confluent_kafka import IsolationLevel, KafkaError, TopicPartition

from tests.faults.fault import DUCKDB, Fault
from tests.faults.play import Play
from tests.support.kafka.configuring import configure

SETTING = "CUSTOMER_WORKER_SAFETY__CUT_OUTPUTS"
STOPPED_FOR_SAFETY = 70
CUT = "an output cut by retention"
FAILED = "publishing failed, recovering"
REFUSAL_LIMIT_S = 30.0


def faults() -> list[Fault]:
    """Both."""
    return [Fault("an output refuses records", _refuse), Fault(CUT, _cut, stores=[DUCKDB])]


def _refuse(play: Play, _: random.Random) -> str:
    """Nothing fits on the topic any more, then everything does again."""
    churned = play.stage.topics.churned
    play.turn_to_publisher()
    before = len(play.worker.events(FAILED))
    configure(play.cluster.kafka.bootstrap_servers, churned, "max.message.bytes", "100")
    try:
        play.wait_for(
            lambda: len(play.worker.events(FAILED)) > before, "noticed that its records were refused", REFUSAL_LIMIT_S
        )
    finally:
        configure(play.cluster.kafka.bootstrap_servers, churned, "max.message.bytes", str(1024 * 1024))
    return "noticed, and published later"


def _cut(play: Play, rng: random.Random) -> str:
    """Delete records that are published and not yet marked: only a reader all along still knows of them.

    Where the setting allows going on, what was cut may be published a second time; nothing else, and nothing is lost.
    """
    play.kill()
    play.start(FAILPOINT=f"after-publish:{rng.randint(2, 4)}")
    play.wait_until_dead("after-publish")
    play.watcher.wait_for(len(play.stage.published()))
    play.cut = set(play.watcher.ids())
    churned = play.stage.topics.churned
    # As an operator does who does not know what the topic is for.
    configure(play.cluster.kafka.bootstrap_servers, churned, "cleanup.policy", "delete")
    while not _is_cut(play, churned):  # the brokers hear of the new policy one after the other
        time.sleep(0.2)
    play.start()
    play.wait_until_refused(SETTING, codes=(STOPPED_FOR_SAFETY,))
    play.stage.settings["SAFETY__CUT_OUTPUTS"] = "resend"
    play.start()
    return f"refused with {STOPPED_FOR_SAFETY}, then allowed"


def _is_cut(play: Play, topic: str) -> bool:
    ends = play.ends(IsolationLevel.READ_UNCOMMITTED, topic)
    asked = play.cluster.admin.delete_records([TopicPartition(*place, offset) for place, offset in ends.items()])
    errors = [error.args[0].code() for future in asked.values() if (error := future.exception(30))]
    assert set(errors) <= {KafkaError.POLICY_VIOLATION}, errors
    return not errors

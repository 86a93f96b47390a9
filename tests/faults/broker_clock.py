"""The clock of a broker steps, ahead or back, and is set right again."""

import datetime as dt
import random
import time
import uuid
from pathlib import Path

from confluent_kafka import Message, Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from tests.faults.clock import at_clock
from tests.faults.fault import Fault, Inflict
from tests.faults.play import Play

AHEAD = dt.timedelta(hours=3)
BACK = dt.timedelta(minutes=50)  # an hour back, it refuses records of the present (message.timestamp.after.max.ms)
WRONG_S = (3.0, 12.0)
STEP_LIMIT_S = 30.0


def faults() -> list[Fault]:
    """Both ways."""
    return [
        Fault("a broker's clock steps ahead", _step(AHEAD)),
        Fault("a broker's clock steps back", _step(-BACK)),
    ]


def _step(by: dt.timedelta) -> Inflict:
    def inflict(play: Play, rng: random.Random) -> str:
        """Run a broker that leads its share with a clock of its own, which steps, and steps back."""
        cluster = play.cluster
        number = rng.randrange(len(cluster.kafka.nodes))
        node = cluster.kafka.nodes[number]
        file = play.directory / f"clock-{uuid.uuid4().hex[:6]}"
        file.write_text("+0\n")
        play.on_cleanup(cluster.wait_until_whole)
        node.stop()
        node.restart(at_clock(file))
        cluster.wait_until_in_sync()
        cluster.prefer_leaders()
        clock = _Clock(play, number)
        _set(file, by)
        clock.wait_until(by)
        time.sleep(rng.uniform(*WRONG_S))  # its length is part of the fault
        _set(file, dt.timedelta())
        clock.wait_until(dt.timedelta())
        return "stepped while it ran, and back"

    return inflict


def _set(file: Path, by: dt.timedelta) -> None:
    file.write_text(f"{by.total_seconds():+.0f}\n")


class _Clock:
    """The clock of one broker, as the times show that it gives to records of a topic on it alone."""

    def __init__(self, play: Play, number: int) -> None:
        self._play = play
        self._topic = f"{play.stage.name}-clock-{uuid.uuid4().hex[:6]}"
        settings = {"message.timestamp.type": "LogAppendTime", "min.insync.replicas": "1"}
        topic = NewTopic(self._topic, 1, replica_assignment=[[number + 1]], config=settings)
        play.cluster.admin.create_topics([topic])[self._topic].result(30)
        self._producer = Producer({"bootstrap.servers": play.cluster.kafka.bootstrap_servers, "log_level": 0})

    def wait_until(self, by: dt.timedelta) -> None:
        """Until the clock is about so far from the time of this process."""
        self._play.wait_for(lambda: abs(self._ahead() - by) < dt.timedelta(minutes=5), "a clock", STEP_LIMIT_S)

    def _ahead(self) -> dt.timedelta:
        delivered: list[Message] = []
        self._producer.produce(self._topic, b"", on_delivery=lambda _, message: delivered.append(message))
        self._producer.flush(STEP_LIMIT_S)
        _, milliseconds = delivered[0].timestamp()
        return dt.timedelta(milliseconds=milliseconds - time.time() * 1000)

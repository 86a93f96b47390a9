"""The configuration that each of the worker's topics requires, and the differences of an actual one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from worker.kafka.topic_configs import DEFAULT_MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES, Configs
from worker.settings import Settings

DEAD_LETTER_MAX_BYTES = 4 * 1024 * 1024
"""`max.message.bytes` of a new dead letter topic: that of a default topic (1 MiB), plus reserve."""

ROOM_FOR_THE_REASON = 64 * 1024
"""Bytes by which a dead letter may be larger than its record."""

ROOM_FOR_THE_EVENT = 8 * 1024
"""Bytes by which an event may be larger than the attributes taken from its cancellation."""

CUT = "published records can be deleted"
BLOCKED = "a record that is too large for the topic blocks all publishing"


class Difference(NamedTuple):
    """An entry of a topic's configuration that differs from the required one.

    `needed` is a phrase for operators, `value` the value to set; `risk` is the consequence of the actual one.
    """

    topic: str
    setting: str
    actual: str
    needed: str
    value: str
    risk: str

    def __str__(self) -> str:
        return f"{self.setting}={self.actual} (needed: {self.needed})"


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic and its requirements: `exact` entries, and at least `least_batch` bytes of `max.message.bytes`.

    `new_batch` is the `max.message.bytes` of a topic that is created; None leaves it to the broker.
    """

    name: str
    exact: Configs
    least_batch: int = 0
    new_batch: int | None = None

    @property
    def new_configs(self) -> dict[str, str]:
        """The configuration to create the topic with."""
        return dict(self.exact) | ({} if self.new_batch is None else {MAX_MESSAGE_BYTES: str(self.new_batch)})

    def differences(self, actual: Configs) -> list[Difference]:
        """Compare a configuration with the needed one; an entry that it does not have is not compared."""
        found = [
            Difference(self.name, name, actual[name], value, value, CUT)
            for name, value in self.exact.items()
            if actual.get(name, value) != value
        ]
        if int(actual.get(MAX_MESSAGE_BYTES, self.least_batch)) < self.least_batch:
            value = str(max(self.least_batch, self.new_batch or DEFAULT_MAX_MESSAGE_BYTES))
            needed = f"at least {self.least_batch}"
            found.append(Difference(self.name, MAX_MESSAGE_BYTES, actual[MAX_MESSAGE_BYTES], needed, value, BLOCKED))
        return found


def topic_plans(settings: Settings, configs: Mapping[str, Configs]) -> list[TopicPlan]:
    """Plan the five topics, the inputs first.

    `configs` are the actual ones by topic: the limit of an input determines that of its dead letter topic. A missing
    input counts with Kafka's default.

    `customer.churned` holds the receipts, so retention must never delete its records: it has at most one event per
    customer, and is compacted. Dead letters are kept until they are settled, so retention is disabled there, too.
    Compaction would drop all but the last letter of a key, and refuse letters without one.
    """
    topics = settings.topics
    churned = TopicPlan(
        topics.churned, {"cleanup.policy": "compact"}, settings.batch.max_value_bytes + ROOM_FOR_THE_EVENT
    )
    letters = [_dead_letters(name + topics.dead_letter_suffix, configs.get(name, {})) for name in topics.inputs]
    return [*(TopicPlan(name, {}) for name in topics.inputs), churned, *letters]


def _dead_letters(name: str, source: Configs) -> TopicPlan:
    least = int(source.get(MAX_MESSAGE_BYTES, DEFAULT_MAX_MESSAGE_BYTES)) + ROOM_FOR_THE_REASON
    kept = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    return TopicPlan(name, kept, least, max(least, DEAD_LETTER_MAX_BYTES))

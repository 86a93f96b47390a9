"""Sizes of record batches: the broker refuses a batch larger than `max.message.bytes` of its topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from worker.kafka import clients as kafka
from worker.kafka.topic_configs import DEFAULT_MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES, read_configs
from worker.settings import Kafka

log = structlog.get_logger(__name__)

SMALLEST_BATCH_BYTES = 4 * 1024
"""Minimum size of batches for a topic of unknown size."""


class RecordTooLarge(KafkaError):  # type: ignore[misc]
    """A single record that exceeds the limit of its topic, compressed or not. It is not sent."""

    def __init__(self, topic: str, size: int, largest: int) -> None:
        self._text = (
            f"a record for {topic} has {size:,} bytes with its batch, the topic's limit is {largest:,}. Set "
            f"{MAX_MESSAGE_BYTES} of {topic} to {size} or more with kafka-configs.sh"
        )
        super().__init__(self._text)

    def __str__(self) -> str:
        return self._text


REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError)
TOO_LARGE = (*REFUSALS, RecordTooLarge)


class BatchSizes:
    """The largest batch that each topic accepts, in bytes.

    If a topic's configuration is hidden, batches start from Kafka's default, and are halved by each refusal.
    """

    def __init__(self, largest: Mapping[str, int] | None = None, hidden: Iterable[str] = ()) -> None:
        self._largest = dict(largest or {})
        self._hidden = dict.fromkeys(hidden, kafka.PUBLISH_BATCH_BYTES)

    async def read(self, settings: Kafka, topics: Iterable[str]) -> None:
        """Read the topics' configuration, which may have changed. Raises `Refusal`."""
        names = list(topics)
        async with kafka.admin_client(settings) as admin:
            configs = await read_configs(admin, names)
        self._largest = {name: int(config[MAX_MESSAGE_BYTES]) for name, config in configs.items()}
        self._hidden = {name: self.fill(name) for name in names if name not in configs}

    def largest(self, topic: str) -> int | None:
        """Size of the largest batch that the topic accepts, in bytes; None if it is not known."""
        return self._largest.get(topic)

    def fill(self, topic: str) -> int:
        """Return the size up to which a batch for the topic is filled."""
        largest = self._largest.get(topic) or self._hidden.get(topic, DEFAULT_MAX_MESSAGE_BYTES)
        return min(kafka.PUBLISH_BATCH_BYTES, largest)

    def note_failure(self, error: BaseException) -> None:
        """Use smaller batches for the topics of unknown size if the error is that one was too large."""
        if isinstance(error, REFUSALS) and self._hidden:
            self._hidden = {name: max(size // 2, SMALLEST_BATCH_BYTES) for name, size in self._hidden.items()}
            log.warning(
                "batch size reduced",
                bytes=self._hidden,
                advice=f"the configuration of these topics is not visible. Grant DESCRIBE_CONFIGS on them, or raise "
                f"{MAX_MESSAGE_BYTES} of the one that refused a batch",
            )

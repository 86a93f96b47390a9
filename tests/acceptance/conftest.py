"""One Kafka for all acceptance tests; each test has topics, a group and a directory of its own on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stage import Stage
from tests.kafka.broker import running_kafka
from tests.kafka.cluster import Kafka


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A real Kafka."""
    with running_kafka() as running:
        yield running


@pytest.fixture
def stage(kafka: Kafka, tmp_path: Path) -> Iterator[Stage]:
    """A test's own world on that Kafka, topics not yet created."""
    stage = Stage(kafka, tmp_path)
    yield stage
    stage.close()

"""A stage on a Kafka that containers reach."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka.cluster import Kafka
from tests.support.stage import Stage


@pytest.fixture
def stage(kafka: Kafka, tmp_path: Path) -> Iterator[Stage]:
    """Yield a stage of the test's own, topics not yet created."""
    stage = Stage(kafka, tmp_path)
    yield stage
    stage.close()

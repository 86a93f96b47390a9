"""One Kafka and one PostgreSQL for all acceptance tests; each test has a world of its own on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stage import Stage
from tests.kafka.broker import running_kafka
from tests.kafka.cluster import Kafka
from tests.kafka.secured import SecuredKafka, secured_kafka
from tests.postgres.server import Postgres, fresh_schema, running_postgres


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


@pytest.fixture(scope="session")
def creating_kafka() -> Iterator[SecuredKafka]:
    """A Kafka that creates the topics it is asked for, as one does by default, and checks rights on a second way in."""
    with secured_kafka("auto.create.topics.enable=true\n") as running:
        yield running


@pytest.fixture
def creating_stage(creating_kafka: SecuredKafka, tmp_path: Path) -> Iterator[Stage]:
    """A test's own world on that Kafka, by the way in that has all rights; topics not yet created."""
    stage = Stage(creating_kafka.kafka, tmp_path)
    stage.settings["LOG__FORMAT"] = "json"
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def url(stage: Stage, postgres: Postgres) -> str:
    """A store's address of the test's own, which the stage's workers have."""
    stage.settings["STORE__URL"] = fresh_schema(postgres)
    return stage.settings["STORE__URL"]

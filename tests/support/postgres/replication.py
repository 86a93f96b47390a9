"""A primary of PostgreSQL and its standby by streaming replication, which tests disconnect, kill and promote."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from tests.support.postgres.server import WheelPostgres

NAME = "standby"
LIMIT_S = 30.0
SOCKET = ".s.PGSQL.5432"
HANDLES = ".handle_pids.json"
OF_ONE_SERVER = (f"{SOCKET}.lock", "log", HANDLES)
"""Files that the wheel's servers keep with their data."""


class Standby:
    """A copy of the primary that follows it; `directory` is empty, or does not exist.

    With `is_synchronous` each commit on the primary waits for it.
    """

    def __init__(self, primary: WheelPostgres, directory: Path, *, is_synchronous: bool) -> None:
        self._primary = primary
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)
        os.chown(directory, primary.user_id, -1)
        _set(primary.url, "synchronous_standby_names", "")
        source = f"{primary.url}&application_name={NAME}"
        (primary.directory / HANDLES).chmod(0o644)  # the user of the tests wrote it, not that of the server
        primary.tool("pg_basebackup", "-D", str(directory), "-d", source, "-R", "--checkpoint=fast")
        for name in OF_ONE_SERVER:
            (directory / name).unlink(missing_ok=True)
        self._control("start", "-l", str(directory / "log"), "-o", f"-h '' -k {directory}")
        _wait_for(lambda: _ask(primary.url, _FOLLOWERS) == [("streaming",)], "streaming replication")
        if is_synchronous:
            _set(primary.url, "synchronous_standby_names", NAME)
        wanted = "sync" if is_synchronous else "async"
        _wait_for(lambda: _ask(primary.url, _KINDS) == [(wanted,)], f"{wanted} replication")

    @property
    def url(self) -> str:
        """The address of the standby, which accepts no writes before it is promoted."""
        return url_of(self._directory)

    def catch_up(self) -> None:
        """Wait until it has all that is committed on the primary now."""
        [(end,)] = _ask(self._primary.url, "SELECT pg_current_wal_flush_lsn()")
        _wait_for(lambda: _ask(self.url, f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == [(True,)], "standby in step")

    def disconnect(self) -> None:
        """Let it follow no further: what the primary commits from now on is on the primary alone."""
        _set(self.url, "primary_conninfo", "")
        _wait_for(lambda: not _ask(self.url, "SELECT FROM pg_stat_wal_receiver"), "end of replication")

    def promote(self) -> WheelPostgres:
        """Promote it to primary."""
        assert _ask(self.url, f"SELECT pg_promote(wait_seconds => {LIMIT_S:.0f})") == [(True,)]
        return WheelPostgres(self._directory)

    def stop(self) -> None:
        """End it."""
        self._control("stop", "-m", "immediate")

    def _control(self, *arguments: str) -> None:
        self._primary.tool("pg_ctl", "-w", "-D", str(self._directory), *arguments)


class Pair:
    """A primary, and a standby once it is added. `url` has the addresses of both, and leads to the primary.

    The data is in two `directories`, in turns: a promoted standby is the primary of the next standby.
    """

    def __init__(self, directory: Path) -> None:
        self.directories = [directory.resolve() / name for name in ("a", "b")]
        self.directories[0].mkdir()
        self.primary = WheelPostgres(self.directories[0])
        self.former: WheelPostgres | None = None
        self.standby: Standby | None = None
        hosts = ",".join(quote(str(each), safe="") for each in self.directories)
        self.url = f"postgresql://postgres@/postgres?host={hosts}&target_session_attrs=read-write"
        self.made: list[str] = []

    @property
    def sockets(self) -> list[str]:
        """The paths of both sockets."""
        return [f"{each}/{SOCKET}" for each in self.directories]

    def restart(self) -> None:
        """Restart the primary."""
        self.primary.restart()

    def add_standby(self, *, is_synchronous: bool) -> Standby:
        """Make a standby of the primary, in place of a former primary that has ended."""
        [directory] = [each for each in self.directories if each != self.primary.directory]
        if self.former is not None:
            self.former.stop()
            self.former = None
        shutil.rmtree(directory, ignore_errors=True)
        self.standby = Standby(self.primary, directory, is_synchronous=is_synchronous)
        return self.standby

    def promote(self) -> None:
        """Promote the standby. The primary before it is `former` from now on; whether it runs is left to the caller."""
        assert self.standby is not None
        self.former, self.primary, self.standby = self.primary, self.standby.promote(), None

    def settle(self) -> None:
        """End a standby that was not promoted, and start its primary if that was killed."""
        if self.standby is not None:
            self.standby.stop()
            self.standby = None
            self.primary.start()
            _set(self.primary.url, "synchronous_standby_names", "")

    def stop(self) -> None:
        """End all servers."""
        if self.standby is not None:
            self.standby.stop()
        if self.former is not None:
            self.former.stop()
        self.primary.stop()


@contextmanager
def replicated_postgres() -> Iterator[Pair]:
    """Start a primary; it and its standbys end with the block."""
    with tempfile.TemporaryDirectory(prefix="pair-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)  # the servers have a user of their own
        pair = Pair(Path(directory))
        try:
            yield pair
        finally:
            pair.stop()


def url_of(directory: Path) -> str:
    """Return the address of the server with this data."""
    return f"postgresql://postgres@/postgres?host={quote(str(directory), safe='')}"


def _ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as db:
        return db.execute(query.encode()).fetchall()


def _set(url: str, name: str, value: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        db.execute("SELECT pg_reload_conf()")


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {LIMIT_S:.0f} s"
        time.sleep(0.05)


_FOLLOWERS = f"SELECT state FROM pg_stat_replication WHERE application_name = '{NAME}'"
_KINDS = f"SELECT sync_state FROM pg_stat_replication WHERE application_name = '{NAME}'"

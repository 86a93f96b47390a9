"""`running_pooler`: a real PgBouncer in front of a PostgreSQL, in any of its modes."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.support.kafka.local import free_ports

START_LIMIT_S = 10.0
NOT_ROOT = "nobody"
PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")


def pgbouncer() -> str:
    """Return the program's path. Raise where it is not installed: a test without it fails, it never skips."""
    if found := shutil.which("pgbouncer"):
        return found
    for place in PLACES:
        if found := shutil.which("pgbouncer", path=place):
            return found
    raise RuntimeError("PgBouncer is not installed. Install the package pgbouncer (apt-get install pgbouncer)")


class Pooler:
    """A running PgBouncer. `reconfigure` changes its settings while it runs."""

    def __init__(self, directory: Path, url: str, settings: dict[str, object]) -> None:
        [self.port] = free_ports(1)
        self._file = directory / "pgbouncer.ini"
        self._log = directory / "pgbouncer.log"
        self._server = conninfo_to_dict(url)
        self._write(settings)
        for path in (directory, self._file):
            path.chmod(0o755)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([pgbouncer(), *self._user(), str(self._file)], stdout=log, stderr=log)

    def url(self, store: str) -> str:
        """Return the address of the store at the direct address `store`, through the pooler. Empty: without options."""
        options = str(conninfo_to_dict(store).get("options", ""))
        address = f"postgresql://worker@127.0.0.1:{self.port}/{self._server['dbname']}"
        return f"{address}?options={quote(options)}" if options else address

    def reconfigure(self, **settings: object) -> None:
        """Change settings and have them read: what connects from now on finds them."""
        self._write(settings)
        with self._console() as console:
            console.execute("RELOAD")
            console.execute("RECONNECT")

    def wait_until_ready(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                self._console().close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PgBouncer did not start: {self._log.read_text()}") from error
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _console(self) -> psycopg.Connection:
        db = psycopg.connect(
            f"postgresql://admin@127.0.0.1:{self.port}/pgbouncer", autocommit=True, cursor_factory=psycopg.ClientCursor
        )
        db.prepare_threshold = None
        return db

    def _write(self, settings: dict[str, object]) -> None:
        wanted = {"host", "port", "user", "password", "dbname"}
        server = " ".join(f"{name}={value}" for name, value in self._server.items() if name in wanted and value)
        ours = {"listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "", "auth_type": "any"}
        ours |= {"admin_users": "admin", "max_client_conn": 100, **settings}
        lines = [f"{name} = {value}" for name, value in ours.items()]
        self._file.write_text("\n".join(["[databases]", f"* = {server}", "[pgbouncer]", *lines, ""]))

    def _user(self) -> list[str]:
        """Return the option for PgBouncer's user if this is root, which it refuses: one who may use the socket."""
        host = Path(str(self._server.get("host") or "/"))
        if os.geteuid() != 0:
            return []
        owner = host.owner() if host.is_absolute() and host.exists() else NOT_ROOT
        return ["-u", NOT_ROOT if owner == "root" else owner]


@contextmanager
def running_pooler(url: str, **settings: object) -> Iterator[Pooler]:
    """Start a PgBouncer before the PostgreSQL at `url`, with these settings; ends it with the block."""
    with tempfile.TemporaryDirectory(prefix="pgbouncer-", ignore_cleanup_errors=True) as directory:
        pooler = Pooler(Path(directory), url, settings)
        try:
            pooler.wait_until_ready()
            yield pooler
        finally:
            pooler.stop()

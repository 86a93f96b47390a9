"""Unix socket on which a worker answers the commands of its user, beside a store that only the worker can read."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

import structlog

from worker.socket_paths import address_of

log = structlog.get_logger(__name__)

OWNER_ONLY = 0o600


class CommandSocket:
    """The listening socket at `path`. Only the user of the worker, and root, can connect.

    Its worker has the store open, which admits one process: whatever socket is at the path is one that a crashed worker
    left, and is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listen()
        except OSError:
            self.socket.close()
            raise

    def _listen(self) -> None:
        self._remove()
        with address_of(self.path) as address:
            self.socket.bind(address)
        self.path.chmod(OWNER_ONLY)  # before `listen`: until then, nobody can connect
        self.socket.listen()

    def _remove(self) -> None:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(self.path.lstat().st_mode):
                self.path.unlink()

    def close(self) -> None:
        """Remove the socket. To be called before the store is closed: then another worker may listen at the path."""
        self.socket.close()
        with suppress(OSError):
            self._remove()


def listen_for_commands(path: Path) -> CommandSocket | None:
    """Listen at `path`. Returns None, with a warning, on a file system without sockets."""
    try:
        return CommandSocket(path)
    except OSError as error:
        log.warning(
            "command socket not available",
            path=str(path),
            reason=os.strerror(error.errno) if error.errno else str(error),
            advice="set CUSTOMER_WORKER_HTTP__TOKEN, so that commands are answered on the port",
        )
        return None

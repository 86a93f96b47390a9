"""Another user of the machine, who can enter the directory of the store."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess

from tests.attacks.attack import NotPossible, Targets
from tests.attacks.target import EXPLAIN, REVENUE
from worker.socket_paths import socket_beside

OTHER_USER = "nobody"
NO_CONNECTION = 7
"""Exit code of curl if it cannot connect."""


def other_user(targets: Targets) -> str:
    """Query the port and the command socket, and read the store."""
    if os.geteuid() != 0:
        raise NotPossible("only root can act as another user")
    path = socket_beside(targets.open.stage.store_file)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    own = curl("--unix-socket", str(path), f"http://localhost{EXPLAIN}")
    assert REVENUE in own.stdout, "the user of the worker is answered"
    by_port = curl("-w", "%{http_code}", f"http://127.0.0.1:{targets.open.port}{EXPLAIN}", user=OTHER_USER)
    assert by_port.stdout.endswith("403"), by_port
    by_socket = curl("--unix-socket", str(path), f"http://localhost{EXPLAIN}", user=OTHER_USER)
    assert by_socket.returncode == NO_CONNECTION, by_socket
    file = subprocess.run(["cat", targets.open.stage.store_file], user=OTHER_USER, capture_output=True, check=False)
    assert file.returncode == 1
    assert b"Permission denied" in file.stderr
    assert REVENUE not in by_port.stdout + by_socket.stdout
    return "port 403, socket and store: permission denied; the worker's user is answered"


def curl(*arguments: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run curl as this user, without its groups."""
    command = ["curl", "-sS", *arguments]
    group = None if user is None else pwd.getpwnam(user).pw_gid
    groups = None if user is None else list[int]()
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", user=user, group=group, extra_groups=groups
    )

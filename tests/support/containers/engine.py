"""The container engine of the tests: Podman or Docker, by the command line that both have."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ENGINE = "TEST_CONTAINER_ENGINE"
"""Names the engine to use, `podman` or `docker`; without it, the first that answers."""
ENGINES = ("podman", "docker")
CONFIGURATION = Path(__file__).with_name("containers.conf")
LIMIT_S = 600


class EngineUnavailable(Exception):
    """No engine answers."""


class Engine:
    """A container engine that answers."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def is_podman(self) -> bool:
        """Whether it is Podman; its options differ in places."""
        return self.name == "podman"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its command line."""
        return os.environ | {"CONTAINERS_CONF": str(CONFIGURATION)}

    def run(self, *arguments: str, limit_s: float = LIMIT_S) -> str:
        """Run a command of the engine, and return its output. Raises `AssertionError` with all output if it fails."""
        done = self._call(arguments, limit_s)
        assert done.returncode == 0, f"{self.name} {arguments[0]} ended with {done.returncode}:\n{_output(done)}"
        return done.stdout.strip()

    def ended(self, *arguments: str, limit_s: float = LIMIT_S) -> tuple[int, str]:
        """Run a command of the engine, and return its exit code and all output."""
        done = self._call(arguments, limit_s)
        return done.returncode, _output(done)

    def _call(self, arguments: Sequence[str], limit_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.name, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )


def find_engine(environment: Mapping[str, str] = os.environ) -> Engine:
    """Find an engine that answers. Raises `EngineUnavailable`."""
    required = environment.get(ENGINE)
    for name in [required] if required else ENGINES:
        if shutil.which(name) and Engine(name).ended("info")[0] == 0:
            return Engine(name)
    raise EngineUnavailable(f"{required or ' and '.join(ENGINES)} does not answer: install Podman and runc, or Docker")


def _output(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr

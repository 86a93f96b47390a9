"""An engine that is missing is a failure, and CI names one."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.containers.engine import ENGINE, EngineUnavailable, find_engine
from tests.support.containers.image import BASE

CI = Path(__file__).parents[2] / ".ci" / "run"
ENGINES = {"docker": (f"{ENGINE}=docker", f"{BASE}="), "podman": (f"{ENGINE}=podman", f"{BASE}=stand-in")}


def test_required_engine_that_is_missing_is_a_failure() -> None:
    with pytest.raises(EngineUnavailable, match="no-such-engine"):
        find_engine({ENGINE: "no-such-engine"})


@pytest.mark.parametrize("answering", ENGINES)
def test_ci_requires_an_engine(answering: str, tmp_path: Path) -> None:
    """Run the script as far as its first target, with programs that do nothing; Docker answers or does not."""
    for program in ("java", "mvn", "pgbouncer", "podman", "runc", "strip", "apt-get", "docker"):
        file = tmp_path / program
        file.write_text(f"#!/bin/sh\nexit {int(program == 'docker' and answering != 'docker')}\n")
        file.chmod(0o755)
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "{ENGINE}=${ENGINE}"\necho "{BASE}=${BASE}"\nexit 1\n')
    make.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in {ENGINE, BASE}}
    done = subprocess.run(
        ["bash", str(CI)],
        env=environment | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert tuple(done.stdout.split()[-2:]) == ENGINES[answering]

"""The Python package gssapi, which is published as source only: compiled once, into `.cache`.

It is no part of the environment of the tests, as it needs a C compiler and the headers of Kerberos.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.kerberos.realm import program

LOCKS = Path(__file__).parent
REQUIREMENTS, BUILD_REQUIREMENTS = LOCKS / "requirements.txt", LOCKS / "build-requirements.txt"
CACHE = Path(__file__).parents[3] / ".cache" / "gssapi"
BUILD_LIMIT_S = 600


def gssapi_library() -> Path:
    """Return a directory for `PYTHONPATH` that has the package, for this Python, as the lock files pin it."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    pinned = REQUIREMENTS.read_text() + BUILD_REQUIREMENTS.read_text()
    wanted = hashlib.sha256(f"{sys.version}\n{pinned}".encode()).hexdigest()
    with CACHE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run side by side come here at once
        stamp = CACHE / ".complete"
        if not (stamp.exists() and stamp.read_text() == wanted):
            _build(wanted)
    return CACHE


def _build(stamp: str) -> None:
    program("krb5-config")  # which the build asks for the headers and the library
    # Built beside and renamed, so that an interrupted run leaves nothing that looks complete.
    with tempfile.TemporaryDirectory(prefix="gssapi-", dir=CACHE.parent) as parts:
        built = Path(parts) / "gssapi"
        command = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--python", sys.executable]
        locks = ["--require-hashes", "-r", str(REQUIREMENTS), "--build-constraints", str(BUILD_REQUIREMENTS)]
        done = subprocess.run(
            [*command, "--target", str(built), *locks],
            env=os.environ | {"CFLAGS": "-O0 -g0"},  # optimizing takes most of the time, and tests gain nothing by it
            capture_output=True,
            text=True,
            timeout=BUILD_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the Python package gssapi cannot be built: {done.stderr[-2000:]}")
        (built / ".complete").write_text(stamp)
        if CACHE.exists():
            shutil.rmtree(CACHE)
        built.rename(CACHE)

"""Validators written for Node.js, which many producers and subscribers use: installed by npm into `.cache`."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "node"
CACHE = Path(__file__).parents[2] / ".cache" / "node"
PACKAGES = ("package.json", "package-lock.json")
INSTALL_LIMIT_S = 600
RUN_LIMIT_S = 120


def run_node(script: str, given: Any) -> Any:
    """Run a script with JSON on its standard input, and return the JSON that it prints."""
    done = subprocess.run(
        [_node(), str(SCRIPTS / script)],
        input=json.dumps(given),
        env=os.environ | {"NODE_PATH": str(_modules())},
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _node() -> str:
    found = shutil.which("node")
    if not found or not shutil.which("npm"):
        raise RuntimeError("These tests need Node.js: install `nodejs` and `npm`, so that they are on the path.")
    return found


@cache
def _modules() -> Path:
    """Return the directory of the packages, as the lock file pins them. A test without them fails, it never skips."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE.parent / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run side by side come here at once
        installed = CACHE / "installed"
        wanted = (SCRIPTS / "package-lock.json").read_text()
        if not installed.exists() or installed.read_text() != wanted:
            for name in PACKAGES:
                shutil.copy(SCRIPTS / name, CACHE)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=CACHE, check=True, capture_output=True, timeout=INSTALL_LIMIT_S)
            installed.write_text(wanted)
    return CACHE / "node_modules"

"""A real schema registry: Apicurio, whose API is also that of Confluent's, from its archive by Maven, on Java."""

from __future__ import annotations

import fcntl
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from tests.support.kafka import jars

ARTIFACT = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all"
DIRECTORY = jars.LIBS.parent / "apicurio"
START_LIMIT_S = 120


@contextmanager
def running_registry() -> Iterator[str]:
    """Yield the address of a registry with nothing in it, until the block ends."""
    (program,) = _unpacked().glob("*-runner.jar")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # It runs for a minute: compiling as for months would take a third of its time.
    options = [
        "-Xmx512m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        f"-Dquarkus.http.port={port}",
        "-Dquarkus.http.host=127.0.0.1",
    ]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [jars.java(), *options, "-jar", str(program)],
            cwd=program.parent,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
            if not _answers(url, process):
                log.seek(0)
                raise RuntimeError(f"the registry did not start: {log.read()[-2000:].decode()}")
            yield url
        finally:
            process.kill()


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/subjects", timeout=5):
                return True
        except (URLError, OSError):
            time.sleep(0.2)  # not yet listening: ask again, but not in a spin
    return False


def _unpacked() -> Path:
    """Return the directory of the program, which Maven downloads once."""
    DIRECTORY.parent.mkdir(parents=True, exist_ok=True)
    with (DIRECTORY.parent / "apicurio.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run side by side come here at once
        if not DIRECTORY.exists():
            _download()
    return DIRECTORY


def _download() -> None:
    maven = shutil.which("mvn")
    assert maven, "the tests of a schema registry need `mvn` on the path to bring it"
    # Unpacked beside and renamed, so that an interrupted run leaves nothing that looks complete.
    with tempfile.TemporaryDirectory(prefix="apicurio-", dir=DIRECTORY.parent) as parts:
        copy = ["dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={parts}"]
        subprocess.run([maven, "-q", "-B", *copy], check=True, timeout=jars.MAVEN_LIMIT_S)
        (archive,) = Path(parts).glob("*.tar.gz")
        with tarfile.open(archive) as content:
            content.extractall(Path(parts) / "unpacked", filter="data")
        (Path(parts) / "unpacked").rename(DIRECTORY)

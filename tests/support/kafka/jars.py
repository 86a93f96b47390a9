"""Kafka's jars, fetched once by Maven into `.cache/kafka-libs`, and the Java that runs them."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
LIBS = Path(__file__).parents[3] / ".cache" / "kafka-libs"
OLDEST_JAVA = 17
ARCHIVE = LIBS.with_name("kafka-classes.jsa")
"""Classes of a broker as Java has them in memory (CDS), written by `local.archive_classes`."""
MAVEN_LIMIT_S = 600


class JarsUnavailable(Exception):
    """Java or the jars are not to be had on this machine; the message says what is missing, as a part of a sentence."""


def java() -> str:
    """Path of a Java that is new enough to run Kafka 4."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if found is None:
        raise JarsUnavailable("there is no `java` on the path")
    if _version(found) < OLDEST_JAVA:
        raise JarsUnavailable(f"`{found}` is older than Java {OLDEST_JAVA}")
    return found


@cache
def _version(java: str) -> int:
    banner = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    version = re.search(r'version "(\d+)', banner)
    return int(version[1]) if version else 0


def soon_gone() -> tuple[str, ...]:
    """Options for what runs minutes or less: to compile as for months takes a third of its time, to load classes half.

    An archive of classes that does not fit (other jars, another Java) is ignored by Java without a word.
    """
    archive = (f"-XX:SharedArchiveFile={ARCHIVE}", "-Xlog:disable") if ARCHIVE.exists() else ()
    return ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *archive)


def classpath() -> str:
    """Return the class path for `java -cp`; downloads the jars first if they are missing or differ from `pom.xml`."""
    stamp = LIBS / ".complete"
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    LIBS.parent.mkdir(parents=True, exist_ok=True)
    with (LIBS.parent / "kafka-libs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run side by side come here at once
        if not (stamp.exists() and stamp.read_text() == wanted):
            _fetch(wanted)
    return f"{LIBS}/*"


def _fetch(stamp: str) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise JarsUnavailable("there is no `mvn` on the path to bring Kafka's jars")
    # Copied beside and renamed, so that an interrupted run never leaves half of the jars looking complete.
    with tempfile.TemporaryDirectory(prefix="kafka-libs-", dir=LIBS.parent) as parts:
        libs = Path(parts) / "libs"
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={libs}"]
        done = subprocess.run(
            [maven, "-q", "-B", "-f", str(POM), *copy],
            capture_output=True,
            text=True,
            timeout=MAVEN_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise JarsUnavailable(f"Maven could not bring Kafka's jars:\n{(done.stdout + done.stderr)[-2000:]}")
        (libs / ".complete").write_text(stamp)
        if LIBS.exists():
            shutil.rmtree(LIBS)
        libs.rename(LIBS)

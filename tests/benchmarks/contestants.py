"""The contestants: the worker, the same job on Kafka Streams, and a loop that only reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.traffic import Topics
from tests.support.kafka.jars import java

CACHE = Path(__file__).parents[2] / ".cache" / "kafka-streams"
SOURCES = Path(__file__).with_name("kafka_streams")


@dataclass(frozen=True)
class Contestant:
    """A command with its environment, and the topic its events come out on."""

    command: Sequence[str]
    output: str
    environment: Mapping[str, str] = field(default_factory=dict)


def worker(bootstrap_servers: str, inputs: Topics, directory: Path, store_url: str = "") -> Contestant:
    """Return the worker with a fresh group and fresh output topics; on a fresh DuckDB file if no store is given."""
    run = f"run-{time.time_ns()}"
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA__GROUP_ID": run,
        "TOPICS__SIGNUP": inputs.signup,
        "TOPICS__CANCELLATION": inputs.cancellation,
        "TOPICS__CHURNED": f"{run}.customer.churned",
        "TOPICS__DEAD_LETTER_SUFFIX": f"-{run}",
        "STORE__URL": store_url or f"duckdb:///{directory / run}.duckdb",
        "HTTP__ENABLED": "false",
    }
    environment = {f"CUSTOMER_WORKER_{name}": value for name, value in settings.items()}
    create = [sys.executable, "-m", "worker", "topics", "create", "--partitions", "8"]
    subprocess.run(create, env=environment, check=True, capture_output=True, timeout=60)
    return Contestant([sys.executable, "-m", "worker", "run"], f"{run}.customer.churned", environment)


def kafka_streams(bootstrap_servers: str, inputs: Topics, directory: Path, threads: int, commit_ms: int) -> Contestant:
    """Kafka Streams with `exactly_once_v2` and RocksDB, with fresh state."""
    run = f"streams-{time.time_ns()}"
    return Contestant(
        [
            *(java(), "-Xmx3g", "-cp", _streams_classpath(), "ChurnPeer"),
            *(bootstrap_servers, run, str(directory / run), str(threads), str(commit_ms), inputs.prefix),
        ],
        inputs.churned,
    )


def _streams_classpath() -> str:
    """Bring the jars and compile the source, once."""
    classes, libs = CACHE / "classes", CACHE / "libs"
    if not (classes / "ChurnPeer.class").exists():
        maven = shutil.which("mvn")
        compiler = shutil.which("javac")
        assert maven, "the comparison with Kafka Streams needs Maven"
        assert compiler, "the comparison with Kafka Streams needs a JDK"
        pom = str(SOURCES / "pom.xml")
        bring = [maven, "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={libs}"]
        subprocess.run(bring, check=True, timeout=600)
        compile_it = [compiler, "-cp", f"{libs}/*", "-d", str(classes), str(SOURCES / "ChurnPeer.java")]
        subprocess.run(compile_it, check=True, timeout=120)
    return f"{classes}:{libs}/*"

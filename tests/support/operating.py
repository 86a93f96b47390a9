"""Commands as ops types them, beside a running worker or without one; and what must not change when they look."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tests.support.kafka.local import free_ports
from tests.support.processes import run_process
from tests.support.reader import partitions_of
from tests.support.stage import Stage
from tests.support.worker_process import environment, module_command

COMMAND_LIMIT_S = 60.0


def serve(stage: Stage) -> None:
    """Let the stage's workers serve, where its commands ask them."""
    [port] = free_ports(1)
    stage.settings |= {"HTTP__ENABLED": "true", "HTTP__PORT": str(port)}


def cache(stage: Stage) -> Path:
    """Return the cache directory of the commands."""
    return stage.directory / "cache"


def run(stage: Stage, *arguments: str, **settings: str) -> tuple[int, bytes, str]:
    """Run one command: its exit code, and what it wrote to standard output and to standard error."""
    variables = environment(stage.settings | settings) | {"XDG_CACHE_HOME": str(cache(stage))}
    done = run_process(module_command(*arguments), variables, stage.directory, COMMAND_LIMIT_S)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def answer(stage: Stage, *arguments: str, code: int = 0, **settings: str) -> dict[str, Any]:
    """Run a command and return its JSON; it must end with `code`."""
    ended, out, err = run(stage, *arguments, "--json", **settings)
    assert ended == code, f"{arguments} ended with {ended}: {err}{out.decode(errors='replace')}"
    answered: dict[str, Any] = json.loads(out)
    return answered


def said(stage: Stage, *arguments: str, code: int = 0, **settings: str) -> str:
    """Run a command and return its output; it must end with `code`."""
    ended, out, err = run(stage, *arguments, **settings)
    assert ended == code, f"{arguments} ended with {ended}: {err}{out.decode(errors='replace')}"
    return out.decode() + err


def ends(stage: Stage) -> dict[tuple[str, int], int]:
    """Return the end offset of each partition of every topic of the stage."""
    consumer = Consumer({"bootstrap.servers": stage.kafka.bootstrap_servers, "group.id": "ends"})
    topics = (*stage.topics.inputs, stage.topics.churned, *stage.topics.dead_letters)
    try:
        return {
            place: consumer.get_watermark_offsets(TopicPartition(*place), timeout=30)[1]
            for place in sorted(partitions_of(consumer, topics))
        }
    finally:
        consumer.close()


def store_bytes(stage: Stage) -> dict[str, str]:
    """Return a digest of each of the store's files."""
    files = sorted(stage.directory.glob("customers.duckdb*"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

"""Kafka's own command-line tools, run from the jars; the container way has its own in `container.py`."""

import subprocess

from tests.support.kafka import jars
from tests.support.kafka.cluster import Kafka, ToolFailed

CONSUMER_GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
REASSIGN_PARTITIONS = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
TOOL_LIMIT_S = 60


def run_from_jars(main_class: str, *arguments: str) -> str:
    """Run one tool and give what it printed; raises `ToolFailed` where it ends badly or too late."""
    command = [jars.java(), *jars.soon_gone(), "-Xmx256m", "-cp", jars.classpath(), main_class, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as late:
        raise ToolFailed(f"{main_class} did not end within {TOOL_LIMIT_S} s") from late
    if done.returncode != 0:
        raise ToolFailed(f"{main_class} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def reset_offsets(kafka: Kafka, group: str, *how: str, topics: tuple[str, ...] = ()) -> str:
    """Do what an operator does: `kafka-consumer-groups --reset-offsets … --execute` on a stopped group.

    `how` is for instance `--to-earliest` or `--shift-by`, `100`. Without `topics` it moves all that the group has.
    """
    scope = [part for topic in topics for part in ("--topic", topic)] or ["--all-topics"]
    said = kafka.tool(
        CONSUMER_GROUPS,
        *("--group", group, "--reset-offsets", *how, *scope, "--execute"),
    )
    # The tool ends with 0 also where it refused, for instance because the group still had a member.
    if "Error:" in said or "NEW-OFFSET" not in said:
        raise ToolFailed(f"offsets of {group} were not reset:\n{said}")
    return said

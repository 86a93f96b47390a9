"""A right that the workers need is taken away for a while, and given back: nothing is lost or repeated meanwhile."""

import random
import time
from collections.abc import Callable

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from tests.faults.cluster import USER
from tests.faults.fault import Fault
from tests.faults.play import Play

TAKEN_S = (4.0, 12.0)
NOTICE_LIMIT_S = 60.0
WORDS = ("the right READ on ", "Kafka does not grant the worker ", "uthoriz")
"""The watch of the inputs, the relay, and whatever aiokafka answers elsewhere."""
Resource = tuple[ResourceType, str]


def faults() -> list[Fault]:
    """Every right that a worker needs while it runs."""
    topic, group, transactional_id = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID
    read, write = AclOperation.READ, AclOperation.WRITE
    return [
        _taken("READ of an input", read, lambda play: (topic, play.stage.topics.cancellation)),
        _taken("READ of the group", read, lambda play: (group, play.stage.group)),
        _taken("WRITE of an output", write, lambda play: (topic, play.stage.topics.churned)),
        _taken("WRITE of the transactional id", write, lambda play: (transactional_id, play.transactional_id)),
    ]


def _taken(name: str, operation: AclOperation, resource: Callable[[Play], Resource]) -> Fault:
    def inflict(play: Play, rng: random.Random) -> str:
        seconds = rng.uniform(*TAKEN_S)
        denied = AclBinding(
            *resource(play), ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, AclPermissionType.DENY
        )
        # Where a resource has rules, only what one of them allows is allowed.
        allowed = AclBinding(
            *resource(play), ResourcePatternType.LITERAL, "User:*", "*", AclOperation.ALL, AclPermissionType.ALLOW
        )
        began = time.monotonic()
        before = _failures(play)
        _add(play, allowed, denied)
        play.on_cleanup(lambda: _remove(play, denied, allowed))
        play.wait_for(lambda: _failures(play) > before, "logged that a right is missing", NOTICE_LIMIT_S)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))  # its length is the fault
        _remove(play, denied, allowed)
        return f"taken for {time.monotonic() - began:.0f} s"

    return Fault(f"{name} taken and given back", inflict)


def _failures(play: Play) -> int:
    """Return how often the workers have logged a missing right."""
    return sum(worker.said().count(words) for worker in play.workers for words in WORDS)


def _add(play: Play, *rules: AclBinding) -> None:
    for done in play.cluster.admin.create_acls(list(rules)).values():
        done.result(30)


def _remove(play: Play, *rules: AclBinding) -> None:
    filters = [
        AclBindingFilter(
            rule.restype,
            rule.name,
            rule.resource_pattern_type,
            rule.principal,
            rule.host,
            rule.operation,
            rule.permission_type,
        )
        for rule in rules
    ]
    for done in play.cluster.admin.delete_acls(filters).values():
        done.result(30)

"""Whatever keeps the worker from starting is one sentence with an exit code."""

import asyncio

from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError

from tests.support.kafka.local import free_ports
from worker import start_failures
from worker.errors import Exit, Refusal
from worker.settings import Kafka, Settings


def explained(error: Exception) -> Refusal:
    [closed] = free_ports(1)
    settings = Settings(kafka=Kafka(bootstrap_servers=f"127.0.0.1:{closed}"))
    return asyncio.run(start_failures.explain(settings, error))


def test_unforeseen_error_is_internal() -> None:
    refusal = explained(KeyError("a customer's name"))
    assert refusal.code is Exit.SAFETY
    assert str(refusal).startswith("internal error: KeyError")
    assert str(refusal).endswith("Restart once; if it recurs, open an issue with this log")
    assert "customer's" not in str(refusal)


def test_refusal_is_kept() -> None:
    refusal = Refusal("the store is in use", Exit.CONFIGURATION)
    assert explained(refusal) is refusal


def test_right_that_was_revoked_meanwhile_is_named() -> None:
    refusal = explained(GroupAuthorizationFailedError("customer-worker"))
    assert refusal.code is Exit.UNREACHABLE
    assert "READ on group customer-worker" in str(refusal)
    assert "kafka-acls.sh" in str(refusal)


def test_broker_that_went_away_is_named() -> None:
    refusal = explained(KafkaConnectionError("Unable to bootstrap from [('h', 1, <AddressFamily.AF_INET: 2>)]"))
    assert refusal.code is Exit.UNREACHABLE
    assert "refuses connections" in str(refusal)

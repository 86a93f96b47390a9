"""Causes of a failed start, each in one sentence with the remedy."""

from __future__ import annotations

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from worker.consumer.joining import require_compatible_members
from worker.errors import Exit, Refusal, internal_error
from worker.kafka import clients as kafka
from worker.kafka.rights import Right, missing_rights, require_rights
from worker.settings import Settings


async def explain(settings: Settings, error: Exception) -> Refusal:
    """Return the cause of a failed start, with the exit code."""
    try:
        if isinstance(error, Refusal):
            return error
        if isinstance(error, InconsistentGroupProtocolError):  # such a member joined after the check
            await require_compatible_members(settings, "")
        if isinstance(error, GroupAuthorizationFailedError):
            return missing_rights(settings.kafka, [Right("READ", "group", settings.kafka.group_id)])
        if isinstance(error, TopicAuthorizationFailedError):  # revoked after the check
            await require_rights(settings)
        if isinstance(error, KafkaError | OSError | TimeoutError):
            return await kafka.unreachable(settings.kafka, error)
    except Refusal as refusal:
        return refusal
    return Refusal(internal_error(error), Exit.SAFETY)

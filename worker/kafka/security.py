"""Security settings for FastStream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from worker.kafka.clients import ssl_context
from worker.settings import Kafka

_MECHANISMS: dict[str | None, Callable[..., BaseSecurity]] = {
    "PLAIN": SASLPlaintext,
    "SCRAM-SHA-256": SASLScram256,
    "SCRAM-SHA-512": SASLScram512,
}


def broker_security(kafka: Kafka) -> BaseSecurity:
    """Return the security settings for FastStream."""
    context = ssl_context(kafka)
    options: dict[str, Any] = {"ssl_context": context, "use_ssl": context is not None}
    if kafka.sasl_mechanism is None:
        return BaseSecurity(**options)
    password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else ""
    return _MECHANISMS[kafka.sasl_mechanism](username=kafka.sasl_username, password=password, **options)

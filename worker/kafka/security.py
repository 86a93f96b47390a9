"""Security settings for FastStream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from faststream.security import (
    SASLGSSAPI,
    BaseSecurity,
    SASLOAuthBearer,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)

from worker.kafka.sasl import sasl_options
from worker.kafka.tls import ssl_context
from worker.settings import Kafka

_WITH_PASSWORD: dict[str, Callable[..., BaseSecurity]] = {
    "PLAIN": SASLPlaintext,
    "SCRAM-SHA-256": SASLScram256,
    "SCRAM-SHA-512": SASLScram512,
}
_WITHOUT: dict[str, Callable[..., BaseSecurity]] = {"OAUTHBEARER": SASLOAuthBearer, "GSSAPI": SASLGSSAPI}
_IN_SECURITY = {"sasl_mechanism", "sasl_plain_username", "sasl_plain_password"}


def broker_security(kafka: Kafka) -> dict[str, Any]:
    """Return the options of FastStream's broker for security: what its security classes cannot hold is beside them."""
    context = ssl_context(kafka)
    tls: dict[str, Any] = {"ssl_context": context, "use_ssl": context is not None}
    options = sasl_options(kafka)
    return {
        "security": _security(kafka.sasl_mechanism, options, tls),
        **{name: value for name, value in options.items() if name not in _IN_SECURITY},
    }


def _security(mechanism: str | None, options: dict[str, Any], tls: dict[str, Any]) -> BaseSecurity:
    if mechanism is None:
        return BaseSecurity(**tls)
    if mechanism in _WITHOUT:
        return _WITHOUT[mechanism](**tls)
    return _WITH_PASSWORD[mechanism](
        username=options["sasl_plain_username"], password=options["sasl_plain_password"], **tls
    )

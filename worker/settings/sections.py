"""Sections of the settings, except the store."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FilePath, PositiveInt, SecretStr, model_validator

from worker import addresses
from worker.settings.section import Section


def _topic_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) or name in {".", ".."}:
        raise ValueError("is no topic name: letters, digits, dots, dashes and underscores, at most 249")
    return name


TopicName = Annotated[str, AfterValidator(_topic_name)]


class Kafka(Section):
    """Connection to Kafka."""

    bootstrap_servers: Annotated[str, AfterValidator(addresses.bootstrap_servers)] = "localhost:9092"
    group_id: Annotated[str, Field(min_length=1)] = "customer-worker"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None

    @model_validator(mode="after")
    def _require_complete(self) -> Self:
        sasl = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        if self.security_protocol.startswith("SASL") and None in sasl:
            raise ValueError(f"{self.security_protocol} needs SASL_MECHANISM, SASL_USERNAME and SASL_PASSWORD")
        if not self.security_protocol.startswith("SASL") and any(part is not None for part in sasl):
            raise ValueError(f"SASL_* is set, but SECURITY_PROTOCOL is {self.security_protocol}")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("SSL_KEYFILE needs SSL_CERTFILE")
        return self


class Topics(Section):
    """Topics that the worker reads and writes."""

    signup: TopicName = "customer.signup"
    cancellation: TopicName = "customer.cancellation"
    churned: TopicName = "customer.churned"
    dead_letter_suffix: TopicName = "-dlt"

    @property
    def inputs(self) -> tuple[str, str]:
        """Topics that are read."""
        return self.signup, self.cancellation

    @property
    def outputs(self) -> tuple[str, str, str]:
        """Topics that are written."""
        return self.churned, self.signup + self.dead_letter_suffix, self.cancellation + self.dead_letter_suffix

    @model_validator(mode="after")
    def _require_distinct(self) -> Self:
        names = self.inputs + self.outputs
        if len(set(names)) != len(names):
            raise ValueError("two topics have the same name: " + ", ".join(names))
        for name in self.outputs:
            _topic_name(name)
        return self


class Batch(Section):
    """Limits of a batch. Batches are smaller when fewer records are available."""

    max_records: PositiveInt = 30_000
    max_bytes: Annotated[int, Field(ge=1024 * 1024)] = 32 * 1024 * 1024
    max_value_bytes: PositiveInt = 64 * 1024


class Events(Section):
    """Attributes of published events."""

    source: Annotated[str, AfterValidator(addresses.uri_reference)] = "/customers"


class CutOutputs(StrEnum):
    """Policy for an output topic that was truncated before its receipts were read."""

    REFUSE = "refuse"
    RESEND = "resend"
    PUBLISHED = "published"


class Safety(Section):
    """Permissions that an operator grants after examining the cause of a refusal."""

    allow_skip_forward: bool = False
    allow_lost_records: bool = False
    cut_outputs: CutOutputs = CutOutputs.REFUSE


class Http(Section):
    """HTTP server for health, metrics, queries and the operations page."""

    host: Annotated[str, AfterValidator(addresses.http_host)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    enabled: bool = True


class Log(Section):
    """Log level and format; `auto` is text on a terminal, JSON elsewhere."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["auto", "text", "json"] = "auto"

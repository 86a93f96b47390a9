"""Sections of the settings, except `kafka` and `store`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, SecretStr, field_validator, model_validator

from worker import addresses
from worker.settings.section import Section


def _topic_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) or name in {".", ".."}:
        raise ValueError("is no topic name: letters, digits, dots, dashes and underscores, at most 249")
    return name


TopicName = Annotated[str, AfterValidator(_topic_name)]


class Topics(Section):
    """Topics that the worker reads and writes."""

    signup: TopicName = Field(default="customer.signup", description="input topic with signups")
    cancellation: TopicName = Field(default="customer.cancellation", description="input topic with cancellations")
    churned: TopicName = Field(default="customer.churned", description="output topic with churn events")
    dead_letter_suffix: TopicName = Field(
        default="-dlt", description="appended to the name of an input topic to name its dead letter topic"
    )

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

    max_records: PositiveInt = Field(default=30_000, description="maximum records per commit")
    max_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024 * 1024, description="maximum bytes per fetch, and approximately per commit"
    )
    max_value_bytes: PositiveInt = Field(
        default=64 * 1024, description="maximum size of a record value; a larger one is rejected as `too_large`"
    )


class SchemaRegistry(Section):
    """Input records of producers that use a schema registry."""

    accept_framed: bool = Field(
        default=False,
        description=(
            "also read values that a JSON Schema serializer framed (byte 0, 4 bytes with the schema id, then JSON); "
            "the frame is skipped, and no registry is asked"
        ),
    )


class Events(Section):
    """Attributes of published events."""

    source: Annotated[str, AfterValidator(addresses.uri_reference)] = Field(
        default="/customers", description="`ce_source` of published events"
    )


class CutOutputs(StrEnum):
    """Policy for an output topic that was truncated before its receipts were read."""

    REFUSE = "refuse"
    RESEND = "resend"
    PUBLISHED = "published"


class Safety(Section):
    """Permissions that an operator grants after examining the cause of a refusal."""

    allow_skip_forward: bool = Field(
        default=False,
        description=(
            "follow a group offset that was set past the position in the store; the records between are skipped"
        ),
    )
    allow_lost_records: bool = Field(
        default=False,
        description="continue although input records were deleted, truncated or replaced before they were read",
    )
    cut_outputs: CutOutputs = Field(
        default=CutOutputs.REFUSE,
        description=(
            "an output topic lost records before the worker read them back: `refuse`: stop with 70. "
            "`resend`: publish every row in doubt; duplicates are possible. `published`: assume they were "
            "published; losses are possible"
        ),
    )


_SHORTEST_TOKEN = 16


class Http(Section):
    """HTTP server for health, metrics, queries and the operations page."""

    host: Annotated[str, AfterValidator(addresses.http_host)] = Field(
        default="127.0.0.1",
        description="host name or IP address to listen on; `0.0.0.0`: every IPv4 address; `::`: every address",
    )
    port: int = Field(
        default=8080, ge=0, le=65535, description="port to listen on; 0 picks a free one, which the log names"
    )
    token: SecretStr | None = Field(
        default=None,
        description=(
            "bearer token that permits queries about customers on the port; without it, they are answered to commands "
            "on the worker's machine only; never printed"
        ),
    )
    enabled: bool = Field(
        default=True,
        description=(
            "serve health, metrics, the operations page, queries of the command line, and the contract documents"
        ),
    )

    @field_validator("token")
    @classmethod
    def _require_bearer_token(cls, token: SecretStr | None) -> SecretStr | None:
        pattern = rf"[A-Za-z0-9._~+/-]{{{_SHORTEST_TOKEN},}}=*"
        if token is not None and not re.fullmatch(pattern, token.get_secret_value()):
            raise ValueError(
                f"is not a bearer token of at least {_SHORTEST_TOKEN} letters, digits and -._~+/ characters: write the "
                "output of `openssl rand -hex 32`"
            )
        return token


class Log(Section):
    """Log level and format; `auto` is text on a terminal, JSON elsewhere."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        default="INFO", description="`DEBUG`, `INFO`, `WARNING` or `ERROR`, in any letter case"
    )
    format: Literal["auto", "text", "json"] = Field(
        default="auto", description="`text`, `json`, or `auto`: text on a terminal, JSON elsewhere"
    )

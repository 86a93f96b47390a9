"""The `kafka` section: connection, authentication and TLS."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FilePath, SecretStr, field_validator, model_validator

from worker import addresses
from worker.settings.section import Section

_OAUTH_SOURCES = ("oauth_token_url", "oauth_token_file", "oauth_provider")


class Kafka(Section):
    """Connection to Kafka."""

    bootstrap_servers: Annotated[str, AfterValidator(addresses.bootstrap_servers)] = Field(
        default="localhost:9092",
        description="bootstrap servers: `host:port`, separated by commas; an IPv6 address in brackets",
    )
    group_id: str = Field(
        default="customer-worker",
        min_length=1,
        description="consumer group; the `transactional.id` of the relay is derived from it",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None = Field(
        default=None, description="`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` or `GSSAPI` (Kerberos)"
    )
    sasl_username: str | None = Field(default=None, description="user name for `PLAIN` and `SCRAM`")
    sasl_password: SecretStr | None = Field(default=None, description="password for `PLAIN` and `SCRAM`; never printed")
    sasl_kerberos_service_name: str = Field(
        default="kafka", min_length=1, description="`GSSAPI`: service name of the brokers' principals"
    )
    sasl_kerberos_domain_name: str | None = Field(
        default=None, description="`GSSAPI`: host name in the brokers' principals; empty: the host name of each broker"
    )
    oauth_token_url: Annotated[str, AfterValidator(addresses.token_url)] | None = Field(
        default=None,
        description="`OAUTHBEARER`: token endpoint of the identity provider, for the client credentials grant (OIDC)",
    )
    oauth_client_id: str | None = Field(default=None, min_length=1, description="client id for the token endpoint")
    oauth_client_secret: SecretStr | None = Field(
        default=None, description="client secret for the token endpoint; never printed"
    )
    oauth_scope: str | None = Field(default=None, description="scope requested from the token endpoint")
    oauth_cafile: FilePath | None = Field(
        default=None,
        description="certificate of the authority that signed the token endpoint's; empty: those of the system",
    )
    oauth_token_file: FilePath | None = Field(
        default=None,
        description="`OAUTHBEARER`: file with a token (workload identity), read again for each authentication",
    )
    oauth_provider: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description=(
            "`OAUTHBEARER`: `module:function` that returns a token; `worker.kafka.msk_iam:token` for AWS MSK IAM"
        ),
    )
    oauth_extensions: Annotated[str, AfterValidator(addresses.sasl_extensions)] = Field(
        default="", description="`OAUTHBEARER`: SASL extensions, `name=value` separated by commas"
    )
    ssl_cafile: FilePath | None = Field(
        default=None,
        description="certificate of the authority that signed the brokers' certificates; empty: those of the system",
    )
    ssl_certfile: FilePath | None = Field(default=None, description="client certificate of the worker")
    ssl_keyfile: FilePath | None = Field(default=None, description="private key of the client certificate")
    ssl_key_password: SecretStr | None = Field(
        default=None, description="password of an encrypted private key; never printed"
    )

    @field_validator("sasl_mechanism")
    @classmethod
    def _require_library(cls, mechanism: str | None) -> str | None:
        if mechanism == "GSSAPI":
            try:
                import gssapi  # noqa: F401, PLC0415 - an optional library
            except (ImportError, OSError):
                raise ValueError(
                    "is GSSAPI, which needs the Python package gssapi and the Kerberos library of the system: install "
                    "both, the package as customer-worker[gssapi]"
                ) from None
        return mechanism

    @model_validator(mode="after")
    def _require_complete(self) -> Self:
        if self.security_protocol.startswith("SASL"):
            self._require_credentials()
        elif given := [name for name in type(self).model_fields if self._is_credential(name)]:
            raise ValueError(f"{_listed(given)} is set, but SECURITY_PROTOCOL is {self.security_protocol}")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("SSL_KEYFILE needs SSL_CERTFILE")
        if self.ssl_key_password and not self.ssl_certfile:
            raise ValueError("SSL_KEY_PASSWORD needs SSL_CERTFILE")
        return self

    def _is_credential(self, name: str) -> bool:
        """Return whether the setting is given, and of SASL."""
        return name in self.model_fields_set and bool(re.match("sasl_|oauth_", name)) and bool(getattr(self, name))

    def _require_credentials(self) -> None:
        password = (self.sasl_username, self.sasl_password)
        has_oauth = any(getattr(self, name) for name in type(self).model_fields if name.startswith("oauth_"))
        if self.sasl_mechanism in {"OAUTHBEARER", "GSSAPI"}:
            if password != (None, None):
                raise ValueError(f"SASL_USERNAME and SASL_PASSWORD are not used by {self.sasl_mechanism}: unset them")
        elif self.sasl_mechanism is None or None in password:
            raise ValueError(
                f"{self.security_protocol} needs SASL_MECHANISM; PLAIN and SCRAM need SASL_USERNAME and SASL_PASSWORD"
            )
        if self.sasl_mechanism == "OAUTHBEARER":
            self._require_token_source()
        elif has_oauth:
            raise ValueError(f"OAUTH_* is set, but SASL_MECHANISM is {self.sasl_mechanism}")

    def _require_token_source(self) -> None:
        if sum(getattr(self, name) is not None for name in _OAUTH_SOURCES) != 1:
            raise ValueError(f"OAUTHBEARER needs one of {_listed(_OAUTH_SOURCES)}")
        client = (self.oauth_client_id, self.oauth_client_secret)
        if self.oauth_token_url and None in client:
            raise ValueError("OAUTH_TOKEN_URL needs OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET")
        if not self.oauth_token_url and any((*client, self.oauth_scope, self.oauth_cafile)):
            raise ValueError("OAUTH_CLIENT_ID, _CLIENT_SECRET, _SCOPE and _CAFILE need OAUTH_TOKEN_URL")


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(name.upper() for name in names)

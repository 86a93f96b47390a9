"""SASL in the form of aiokafka: passwords, OAUTHBEARER and GSSAPI, from the settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from time import time
from typing import Any

from worker.errors import Exit, Refusal
from worker.kafka.oauth_tokens import Source, Token, TokenProvider, TokenUnavailable, jwt_lifetime, require_token
from worker.kafka.token_endpoint import TokenEndpoint
from worker.settings import Kafka

_PROVIDER = "CUSTOMER_WORKER_KAFKA__OAUTH_PROVIDER"


def sasl_options(kafka: Kafka) -> dict[str, Any]:
    """Return the SASL options of aiokafka's clients; none without SASL. Raises `Refusal`."""
    match kafka.sasl_mechanism:
        case None:
            return {}
        case "OAUTHBEARER":
            return {"sasl_mechanism": kafka.sasl_mechanism, "sasl_oauth_token_provider": token_provider(kafka)}
        case "GSSAPI":
            return {
                "sasl_mechanism": kafka.sasl_mechanism,
                "sasl_kerberos_service_name": kafka.sasl_kerberos_service_name,
                "sasl_kerberos_domain_name": kafka.sasl_kerberos_domain_name,
            }
        case _:
            password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
            return {
                "sasl_mechanism": kafka.sasl_mechanism,
                "sasl_plain_username": kafka.sasl_username,
                "sasl_plain_password": password,
            }


@cache
def token_provider(kafka: Kafka) -> TokenProvider:
    """Return the provider of tokens, one for all clients with these settings. Raises `Refusal`."""
    pairs = (part.strip().partition("=") for part in kafka.oauth_extensions.split(",") if part.strip())
    return TokenProvider(_source(kafka), {name: value for name, _, value in pairs})


def token_origin(kafka: Kafka) -> str:
    """Name the source of the tokens, for messages."""
    if kafka.oauth_token_url is not None:
        return f"client {kafka.oauth_client_id}"
    return f"file {kafka.oauth_token_file}" if kafka.oauth_token_file else f"provider {kafka.oauth_provider}"


def _source(kafka: Kafka) -> Source:
    if kafka.oauth_token_url is not None:
        secret = kafka.oauth_client_secret.get_secret_value() if kafka.oauth_client_secret else ""
        client_id = kafka.oauth_client_id or ""
        return TokenEndpoint(kafka.oauth_token_url, client_id, secret, kafka.oauth_scope, kafka.oauth_cafile)
    if kafka.oauth_token_file is not None:
        return _file_source(kafka.oauth_token_file)
    return _function_source(kafka.oauth_provider or "")


def _file_source(path: Path) -> Source:
    """Read the file for each authentication: what writes it replaces it before the token in it expires."""

    def read() -> Token:
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not text"
            raise TokenUnavailable(
                f"the token file {path} cannot be read: {reason.lower()}",
                "Check CUSTOMER_WORKER_KAFKA__OAUTH_TOKEN_FILE, and what writes this file",
            ) from None
        return Token(require_token(text, f"the token file {path}"), None)

    return read


def _function_source(name: str) -> Source:
    function = _function(name)

    def call() -> Token:
        try:
            found = function()
        except TokenUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - of any library; its message can hold a secret
            raise TokenUnavailable(
                f"the token provider {name} failed with {type(error).__name__}", "Check its credentials and its network"
            ) from None
        value, expiry_ms = found if isinstance(found, tuple) else (found, None)
        token = require_token(value, f"the result of the token provider {name}")
        return Token(token, jwt_lifetime(token) if expiry_ms is None else float(expiry_ms) / 1000 - time())

    return call


def _function(name: str) -> Callable[[], Any]:
    module, _, attribute = name.partition(":")
    try:
        function: Callable[[], Any] = getattr(import_module(module), attribute)
    except ImportError as error:
        raise Refusal(
            f"{_PROVIDER}: {module} cannot be imported: {error.msg}. Install it beside the worker, or set PYTHONPATH",
            Exit.CONFIGURATION,
        ) from error
    except AttributeError as error:
        raise Refusal(f"{_PROVIDER}: {module} has no function {attribute}", Exit.CONFIGURATION) from error
    return function

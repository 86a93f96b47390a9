"""The request for a token: each failure names the endpoint and the remedy, and no message has the secret."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.kafka.local import free_ports
from tests.support.kafka.oauth import SCOPE, SECRET, IdentityProvider, identity_provider
from tests.support.kafka.secured import USER
from worker.errors import Exit, Refusal
from worker.kafka import token_endpoint
from worker.kafka.oauth_tokens import TokenUnavailable
from worker.kafka.token_endpoint import TokenEndpoint


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """Yield an identity provider that answers."""
    with identity_provider() as running:
        yield running


def endpoint(url: str, secret: str = SECRET, scope: str | None = SCOPE, cafile: Path | None = None) -> TokenEndpoint:
    return TokenEndpoint(url, USER, secret, scope, cafile)


def failure(url: str, secret: str = SECRET) -> TokenUnavailable:
    with pytest.raises(TokenUnavailable) as failed:
        endpoint(url, secret)()
    said = str(failed.value)
    encoded = base64.b64encode(secret.encode()).decode()
    assert secret not in said
    assert encoded[:12] not in said
    assert failed.value.__suppress_context__ or failed.value.__context__ is None
    return failed.value


def test_token_and_its_lifetime_are_returned(provider: IdentityProvider) -> None:
    token = endpoint(provider.url)()
    assert token.value.count(".") == 2
    assert token.lifetime == provider.lifetime
    assert provider.requests == [{"grant_type": "client_credentials", "scope": SCOPE}]


def test_expiry_is_read_from_the_token_without_expires_in(provider: IdentityProvider) -> None:
    provider.failure = (200, json.dumps({"access_token": provider.token(70)}).encode())
    assert endpoint(provider.url)().lifetime == pytest.approx(70, abs=5)
    provider.failure = (200, b'{"access_token": "opaque", "expires_in": "60"}')
    assert endpoint(provider.url)() == ("opaque", 60)
    provider.failure = (200, b'{"access_token": "opaque"}')
    assert endpoint(provider.url)() == ("opaque", None)


def test_wrong_secret_names_the_client_and_the_setting(provider: IdentityProvider) -> None:
    failed = failure(provider.url + "?key=of-the-url", "another secret")
    assert failed.what == (
        f"the token endpoint {provider.url} refused a token for the client {USER} (HTTP 401, invalid_client)"
    )
    assert "OAUTH_CLIENT_SECRET" in failed.advice


@pytest.mark.parametrize(
    ("status", "answer", "reason", "advice"),
    [
        (400, b'{"error": "invalid_scope"}', "(HTTP 400, invalid_scope)", "OAUTH_SCOPE"),
        (400, b'{"error": "%s"}' % SECRET.encode(), "(HTTP 400)", "OAUTH_CLIENT_ID"),
        (404, b"not found", "answered HTTP 404", "OAUTH_TOKEN_URL"),
        (429, b"", "failed (HTTP 429)", "identity provider"),
        (503, b"{", "failed (HTTP 503)", "identity provider"),
        (200, b"<html>", "has no access token", "Check"),
        (200, b"[]", "has no access token", "Check"),
        (200, b'{"access_token": 5}', "has no access token", "Check"),
        (200, b'{"access_token": "a b"}', "has no access token", "Check"),
        (200, b"[" * 100_000, "has no access token", "Check"),
    ],
)
def test_failure_is_described_by_its_cause(
    provider: IdentityProvider, status: int, answer: bytes, reason: str, advice: str
) -> None:
    provider.failure = (status, answer)
    failed = failure(provider.url)
    assert provider.url in failed.what
    assert reason in failed.what
    assert advice in failed.advice


def test_redirect_does_not_carry_the_secret_elsewhere(provider: IdentityProvider) -> None:
    with identity_provider() as elsewhere:
        for status in (301, 302, 307):
            provider.failure = (status, elsewhere.url.encode())
            assert f"answered HTTP {status}" in failure(provider.url).what
        assert elsewhere.requests == []


def test_endpoint_that_is_not_there_is_named() -> None:
    [closed] = free_ports(1)
    assert "cannot be reached: connection refused" in failure(f"http://127.0.0.1:{closed}/token").what
    assert "the host name does not resolve" in failure("https://idp.invalid/token").what


@pytest.mark.timeout(10)
def test_silent_endpoint_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_endpoint, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no answer in time" in failure(f"http://127.0.0.1:{silent.getsockname()[1]}/token").what


def test_endpoint_of_another_authority_names_the_setting(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    with identity_provider(context) as provider:
        failed = failure(provider.url)
        assert "the certificate is not accepted" in failed.what
        assert "OAUTH_CAFILE" in failed.advice
        assert endpoint(provider.url, cafile=tmp_path / "authority.pem")().lifetime == provider.lifetime


def test_unusable_cafile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(Refusal, match="OAUTH_CAFILE") as refused:
        endpoint("https://localhost/token", cafile=tmp_path / "ca.pem")
    assert refused.value.code is Exit.CONFIGURATION

"""Access tokens: requested once, renewed before they expire, used on while a renewal fails, and never in a message."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.kafka.oauth import IdentityProvider
from worker.errors import Exit, Refusal
from worker.kafka.oauth_tokens import RETRY_SECONDS, Token, TokenProvider, TokenUnavailable, jwt_lifetime
from worker.kafka.sasl import sasl_options, token_provider
from worker.settings import Kafka

SECRET = "hunter2-never-to-be-shown"


class Source:
    """A source that counts its calls; `failure` is raised if it is set."""

    def __init__(self, lifetime: float | None = 100.0) -> None:
        self.calls = 0
        self.lifetime = lifetime
        self.failure: TokenUnavailable | None = None

    def __call__(self) -> Token:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return Token(f"token-{self.calls}", self.lifetime)


@pytest.fixture
def clock() -> SimpleNamespace:
    """Return a clock that a test sets."""
    return SimpleNamespace(now=0.0)


def provided(source: Source, clock: SimpleNamespace) -> TokenProvider:
    return TokenProvider(source, {}, lambda: clock.now)


def test_token_is_renewed_after_four_fifths_of_its_lifetime(clock: SimpleNamespace) -> None:
    source = Source()
    provider = provided(source, clock)
    for now, token in ((0, "token-1"), (79, "token-1"), (80, "token-2"), (159, "token-2"), (161, "token-3")):
        clock.now = now
        assert asyncio.run(provider.token()) == token  # each time in another event loop


def test_token_of_unknown_lifetime_is_read_each_time(clock: SimpleNamespace) -> None:
    provider = provided(Source(lifetime=None), clock)
    assert [provider.read(), provider.read()] == ["token-1", "token-2"]


def test_clients_that_connect_at_once_share_a_request(clock: SimpleNamespace) -> None:
    source, asked = Source(), threading.Event()

    async def connect(provider: TokenProvider) -> list[str]:
        clients = [asyncio.ensure_future(provider.token()) for _ in range(8)]
        await asyncio.sleep(0)  # each has asked
        asked.set()
        return await asyncio.gather(*clients)

    def read() -> Token:
        assert asked.wait(10)
        return source()

    assert asyncio.run(connect(TokenProvider(read, {}, lambda: clock.now))) == ["token-1"] * 8
    assert source.calls == 1


def test_valid_token_is_used_while_the_renewal_fails(clock: SimpleNamespace) -> None:
    source = Source()
    provider = provided(source, clock)
    provider.read()
    source.failure = TokenUnavailable("the endpoint failed", "Check it")
    clock.now = 99
    assert provider.read() == "token-1"
    assert provider.read() == "token-1"
    assert source.calls == 2  # once in RETRY_SECONDS
    clock.now = 100
    with pytest.raises(TokenUnavailable, match=r"^the endpoint failed\. Check it$"):
        provider.read()
    source.failure = None
    clock.now = 99 + RETRY_SECONDS
    assert provider.read() == "token-3"


def test_failing_source_is_asked_once_in_seconds(clock: SimpleNamespace) -> None:
    source = Source()
    source.failure = TokenUnavailable("the endpoint failed", "Check it")
    provider = provided(source, clock)
    for now in (0, 1, RETRY_SECONDS - 0.1):
        clock.now = now
        with pytest.raises(TokenUnavailable):
            asyncio.run(provider.token())
    assert source.calls == 1


def test_expiry_of_a_json_web_token_is_read() -> None:
    token = IdentityProvider().token(50)
    assert jwt_lifetime(token) == pytest.approx(50, abs=5)
    for other in ("opaque", "a.b.c", "a.bnVsbA.c", f"{token}.x", "", "a.e30.c"):
        assert jwt_lifetime(other) is None, other


# Sources


def settings(**values: object) -> Kafka:
    return Kafka.model_validate(
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "oauth_extensions": ""} | values
    )


def test_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-token\n")
    provider = token_provider(settings(oauth_token_file=file))
    assert asyncio.run(provider.token()) == "first-token"
    (tmp_path / "new").write_text("second-token")
    (tmp_path / "new").rename(file)
    assert asyncio.run(provider.token()) == "second-token"


@pytest.mark.parametrize(
    "content", [b"", b"two tokens", b"a\x01auth=Bearer b", b"\xff\xfe"], ids=["empty", "space", "\\x01", "not text"]
)
def test_file_without_a_token_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(TokenUnavailable, match=f"the token file {file}") as failed:
        token_provider(settings(oauth_token_file=file)).read()
    file.unlink()
    assert "Check" in failed.value.advice
    assert "two tokens" not in str(failed.value)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Return a function that writes a module with a provider, and returns the module's name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> str:
        name = f"company_tokens_{abs(hash(text))}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    token_provider.cache_clear()


def test_function_provides_tokens_with_their_expiry(module: Callable[[str], str]) -> None:
    name = module(
        "import time\ncalls = []\ndef token():\n    calls.append(1)\n    return 'a-token', (time.time() + 60) * 1000"
    )
    provider = token_provider(settings(oauth_provider=f"{name}:token", oauth_extensions="logicalCluster=lkc-1, pool=p"))
    assert [provider.read(), provider.read()] == ["a-token", "a-token"]
    assert 50 < provider.valid_seconds <= 60
    assert provider.extensions() == {"logicalCluster": "lkc-1", "pool": "p"}
    name = module("def token():\n    return 'x'")
    plain = token_provider(settings(oauth_provider=f"{name}:token"))
    assert (plain.read(), plain.valid_seconds) == ("x", 0)


def test_failing_function_is_named_without_its_message(module: Callable[[str], str]) -> None:
    name = module(f"def token():\n    raise PermissionError('{SECRET}')\ndef nothing():\n    return None")
    with pytest.raises(
        TokenUnavailable, match=f"the token provider {name}:token failed with PermissionError"
    ) as failed:
        token_provider(settings(oauth_provider=f"{name}:token")).read()
    assert SECRET not in str(failed.value)
    with pytest.raises(TokenUnavailable, match="has no access token"):
        token_provider(settings(oauth_provider=f"{name}:nothing")).read()


@pytest.mark.parametrize(("provider", "problem"), [
    ("no_such_module_here:token", "no_such_module_here cannot be imported"),
    ("json:token", "json has no function token"),
])  # fmt: skip
def test_provider_that_cannot_be_loaded_is_refused(provider: str, problem: str) -> None:
    with pytest.raises(Refusal, match=problem) as refused:
        sasl_options(settings(oauth_provider=provider))
    assert refused.value.code is Exit.CONFIGURATION


# AWS MSK IAM; its signer needs no network


def test_msk_token_is_signed_for_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    token_provider.cache_clear()
    provider = token_provider(settings(oauth_provider="worker.kafka.msk_iam:token"))
    first = provider.read()
    assert 800 < provider.valid_seconds <= 900
    assert provider.read() is first


def test_msk_without_a_region_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    token_provider.cache_clear()
    with pytest.raises(TokenUnavailable, match="Set AWS_REGION"):
        token_provider(settings(oauth_provider="worker.kafka.msk_iam:token")).read()

"""A real Kafka that takes OAUTHBEARER tokens signed by an identity provider of the tests, and ends sessions in seconds.

Rights are checked as by `secured`; the same listener takes PLAIN as well. It runs from Kafka's jars only.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.kafka.local import LOOPBACK, free_ports, local_kafka
from tests.support.kafka.secured import PASSWORD, USER, SecuredKafka

AUDIENCE = "kafka-of-the-tests"
KEY_ID = "key-1"
SECRET = "s3cret/with+signs and a space"
SCOPE = "kafka write"
SESSION_SECONDS = 5
"""Long enough for a request that waits behind a fetch when the session is due."""

PROPERTIES = """\
listeners=PLAINTEXT://{host}:{{port}},CONTROLLER://{host}:{{controller_port}},SASL://{host}:{sasl_port}
advertised.listeners=PLAINTEXT://{host}:{{port}},SASL://{host}:{sasl_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}";
listener.name.sasl.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.sasl.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.sasl.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={jwks}
listener.name.sasl.oauthbearer.sasl.oauthbearer.expected.audience={audience}
listener.name.sasl.oauthbearer.sasl.oauthbearer.clock.skew.seconds=0
listener.name.sasl.oauthbearer.connections.max.reauth.ms={session_ms}
listener.name.sasl.plain.connections.max.reauth.ms={session_ms}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class IdentityProvider:
    """Issues tokens for the client credentials grant; a test sets the lifetime of the tokens, and failures."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.lifetime = 6.0
        self.failure: tuple[int, bytes] | None = None
        self.requests: list[dict[str, str]] = []
        self.issued = 0
        self.url = ""

    def jwks(self) -> str:
        """Return the public key, as a set of JSON Web Keys."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID}
        return json.dumps({"keys": [key | {"n": _encoded(_bytes(numbers.n)), "e": _encoded(_bytes(numbers.e))}]})

    def token(self, lifetime: float | None = None, **claims: object) -> str:
        """Sign a token for the worker's user."""
        self.issued += 1
        now = time.time()
        payload = {"sub": USER, "aud": AUDIENCE, "iat": now, "exp": now + (lifetime or self.lifetime)} | claims
        header = {"alg": "RS256", "kid": KEY_ID, "typ": "JWT"}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, payload))
        return f"{text}.{_encoded(self._key.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"

    def answer(self, authorization: str, form: dict[str, str]) -> tuple[int, bytes]:
        """Answer a request for a token."""
        self.requests.append(form)
        if self.failure is not None:
            return self.failure
        wanted = base64.b64encode(f"{USER}:{quote(SECRET, safe='')}".encode()).decode()
        if authorization != f"Basic {wanted}" or form.get("grant_type") != "client_credentials":
            return 401, json.dumps({"error": "invalid_client", "error_description": authorization}).encode()
        answer = {"access_token": self.token(), "token_type": "Bearer", "expires_in": self.lifetime}
        return 200, json.dumps(answer).encode()


class OAuthKafka:
    """The broker, its identity provider, and the worker's settings for it (without the prefix)."""

    def __init__(self, secured: SecuredKafka, provider: IdentityProvider) -> None:
        self.secured = secured
        self.kafka = secured.kafka
        self.provider = provider
        self.sasl = {
            "KAFKA__BOOTSTRAP_SERVERS": f"{LOOPBACK}:{secured.sasl_port}",
            "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA__SASL_MECHANISM": "OAUTHBEARER",
        }
        self.settings = self.sasl | {
            "KAFKA__OAUTH_TOKEN_URL": provider.url,
            "KAFKA__OAUTH_CLIENT_ID": USER,
            "KAFKA__OAUTH_CLIENT_SECRET": SECRET,
            "KAFKA__OAUTH_SCOPE": SCOPE,
        }


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Ignore clients that refuse the certificate."""


@contextmanager
def identity_provider(tls: ssl.SSLContext | None = None) -> Iterator[IdentityProvider]:
    """Serve the token endpoint of an identity provider until the block ends; with `tls`, for `localhost`."""
    provider = IdentityProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            status, answer = provider.answer(self.headers.get("Authorization", ""), form)
            self.send_response(status)
            if status in {301, 302, 307}:
                self.send_header("Location", answer.decode())
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with _Server((LOOPBACK, 0), Handler) as server:
        provider.url = f"http://{LOOPBACK}:{server.server_address[1]}/token"
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            provider.url = f"https://localhost:{server.server_address[1]}/token"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def oauth_kafka(directory: Path) -> Iterator[OAuthKafka]:
    """Run such a broker until the block ends; the public key is put into the directory."""
    with identity_provider() as provider:
        jwks = directory / "jwks.json"
        jwks.write_text(provider.jwks())
        [sasl_port] = free_ports(1)
        properties = PROPERTIES.format(
            host=LOOPBACK,
            sasl_port=sasl_port,
            user=USER,
            password=PASSWORD,
            jwks=jwks.as_uri(),
            audience=AUDIENCE,
            session_ms=SESSION_SECONDS * 1000,
        )
        java = [
            f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks.as_uri()}",
            f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={jwks}",
        ]
        with local_kafka(1, properties=properties, java_options=java) as kafka:
            yield OAuthKafka(SecuredKafka(kafka, sasl_port), provider)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")

"""An encrypted private key is opened with its password, and never asked for on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from worker.errors import Exit, Refusal
from worker.kafka.tls import ssl_context
from worker.settings import Kafka

PASSWORD = "open sesame"


@pytest.fixture(params=[PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["PKCS 8", "traditional"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Path]:
    """Return settings with a certificate and its encrypted key."""
    certificate = trustme.CA().issue_cert("worker.example", key_type=trustme.KeyType.RSA)
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, request.param, BestAvailableEncryption(PASSWORD.encode()))
    (tmp_path / "client.key").write_bytes(encrypted)
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    return {"ssl_certfile": tmp_path / "client.pem", "ssl_keyfile": tmp_path / "client.key"}


def context(files: dict[str, Path], **more: object) -> object:
    return ssl_context(Kafka.model_validate({"security_protocol": "SSL", **files, **more}))


def test_encrypted_key_is_opened_with_its_password(files: dict[str, Path]) -> None:
    assert context(files, ssl_key_password=PASSWORD) is not None


def test_encrypted_key_without_a_password_is_named(files: dict[str, Path]) -> None:
    with pytest.raises(Refusal, match=r"client\.key is encrypted\. Set CUSTOMER_WORKER_KAFKA__SSL_KEY_PASSWORD") as no:
        context(files)
    assert no.value.code is Exit.CONFIGURATION


@pytest.mark.parametrize("password", ["wrong password", "", "x" * 2000], ids=["wrong", "empty", "too long"])
def test_wrong_password_of_a_key_is_refused(files: dict[str, Path], password: str) -> None:
    with pytest.raises(Refusal, match="_SSL_KEY_PASSWORD is the key's") as refused:
        context(files, ssl_key_password=password)
    assert refused.value.code is Exit.CONFIGURATION
    assert password not in str(refused.value) or not password

"""TLS: the certificates and the key that the settings name."""

from __future__ import annotations

import ssl

from worker.errors import Exit, Refusal
from worker.kafka.errors import in_words
from worker.settings import Kafka

_SETTING = "CUSTOMER_WORKER_KAFKA__SSL_"


def ssl_context(kafka: Kafka) -> ssl.SSLContext | None:
    """Load the certificates that the settings name; None without TLS. Raises `Refusal` if they are unusable."""
    if not kafka.security_protocol.endswith("SSL"):
        return None

    def password() -> str:
        """Return the password of an encrypted key. Without this function OpenSSL would ask for it on the terminal."""
        if kafka.ssl_key_password is None:
            raise Refusal(
                f"the private key {kafka.ssl_keyfile or kafka.ssl_certfile} is encrypted. "
                f"Set {_SETTING}KEY_PASSWORD or {_SETTING}KEY_PASSWORD_FILE",
                Exit.CONFIGURATION,
            )
        return kafka.ssl_key_password.get_secret_value()

    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
        if kafka.ssl_certfile:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile, password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise Refusal(
            f"the certificates cannot be read: {in_words(error)}. Check that {_SETTING}CAFILE, _SSL_CERTFILE and "
            "_SSL_KEYFILE name readable PEM files that belong together, and that _SSL_KEY_PASSWORD is the key's",
            Exit.CONFIGURATION,
        ) from error
    return context

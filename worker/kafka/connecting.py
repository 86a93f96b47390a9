"""The cause of a failed connection to Kafka: the address, the step and the remedy.

aiokafka reports `Unable to bootstrap` for a wrong password and for an expired certificate alike. After a failure each
address is probed step by step: the bootstrap servers, and the addresses that the brokers advertise.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed
from aiokafka.protocol.metadata import MetadataRequest

from worker.kafka.errors import in_words
from worker.kafka.oauth_tokens import TokenUnavailable
from worker.kafka.probe import PROBE_SECONDS, Address, NotKafka, probe, speaks_plaintext, speaks_tls
from worker.kafka.sasl import token_origin
from worker.settings import Kafka

DIAGNOSIS_SECONDS = 15.0
_SETTING = "CUSTOMER_WORKER_KAFKA__"
_OF_A_CLIENT = {"bootstrap_servers", "connections_max_idle_ms"}  # a single connection does not have these
_UNKNOWN = "Check the broker's log and the security settings"
_LISTENER = f"Set {_SETTING}SECURITY_PROTOCOL as the listener has it, or use the port of another listener"


class Cause(NamedTuple):
    """A failure at one address, and the remedy."""

    what: str
    advice: str


async def find_cause(kafka: Kafka, options: Mapping[str, Any]) -> Cause | None:
    """Probe all addresses; returns None if each works now. `options` are the connection settings of aiokafka."""
    try:
        async with asyncio.timeout(DIAGNOSIS_SECONDS):
            return await _Diagnosis(kafka, options).run()
    except TimeoutError:
        return None


class _Diagnosis:
    def __init__(self, kafka: Kafka, options: Mapping[str, Any]) -> None:
        self._kafka = kafka
        self._context: ssl.SSLContext | None = options["ssl_context"]
        self._bootstrap = [_address(server) for server in options["bootstrap_servers"]]
        self._options = {name: value for name, value in options.items() if name not in _OF_A_CLIENT}

    async def run(self) -> Cause | None:
        causes = await asyncio.gather(*map(self._bootstrap_cause, self._bootstrap))
        reached = [address for address, cause in zip(self._bootstrap, causes, strict=True) if cause is None]
        if not reached:
            return _together([cause for cause in causes if cause is not None])
        return await self._advertised_cause(reached[0])

    async def _bootstrap_cause(self, address: Address) -> Cause | None:
        return await self._step_cause(address) or await self._login_cause(address)

    async def _step_cause(self, address: Address) -> Cause | None:
        """Return the cause of a failure before the SASL handshake, None if there is none."""
        try:
            mechanisms = await asyncio.to_thread(probe, address, self._context, self._kafka.sasl_mechanism)
        except (OSError, EOFError, NotKafka) as error:
            return await asyncio.to_thread(self._explain, address, error)
        return self._mechanism_cause(address, mechanisms)

    def _explain(self, address: Address, error: Exception) -> Cause:
        return (
            _network_cause(address, error)
            or self._tls_cause(address, error)
            or self._protocol_cause(address)
            or Cause(f"{address}: {in_words(error)}", _UNKNOWN)
        )

    def _protocol_cause(self, address: Address) -> Cause | None:
        if self._context is None and speaks_tls(address):
            return Cause(f"{address} requires TLS, but the security protocol is {self._protocol}", _LISTENER)
        if self._context is not None and speaks_plaintext(address):
            return Cause(f"{address} has no TLS, but the security protocol is {self._protocol}", _LISTENER)
        return None

    def _tls_cause(self, address: Address, error: Exception) -> Cause | None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return _certificate_cause(address, error)
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            return self._alert_cause(address, error)
        return None

    @property
    def _protocol(self) -> str:
        return self._kafka.security_protocol

    def _alert_cause(self, address: Address, error: ssl.SSLError) -> Cause:
        """Return the cause of a TLS session that the broker ended: a missing or refused client certificate."""
        alert = re.sub(r"^.*ALERT_", "", error.reason or "").replace("_", " ").lower()
        if self._kafka.ssl_certfile is None:
            return Cause(
                f"{address} requires a client certificate (TLS alert: {alert})",
                f"Set {_SETTING}SSL_CERTFILE and {_SETTING}SSL_KEYFILE",
            )
        return Cause(
            f"{address} does not accept the client certificate {self._kafka.ssl_certfile} (TLS alert: {alert})",
            f"Check that {_SETTING}SSL_CERTFILE is valid now and issued by an authority that the brokers trust",
        )

    def _mechanism_cause(self, address: Address, mechanisms: list[str] | None) -> Cause | None:
        wanted = self._kafka.sasl_mechanism
        if mechanisms is None and wanted is not None:
            return Cause(f"{address} has no SASL, but the security protocol is {self._protocol}", _LISTENER)
        if mechanisms is None:
            return None
        offered = ", ".join(mechanisms)
        if wanted is None:
            return Cause(
                f"{address} requires SASL ({offered}), but the security protocol is {self._protocol}", _LISTENER
            )
        if wanted not in mechanisms:
            return Cause(
                f"{address} does not offer the SASL mechanism {wanted}; it offers {offered}",
                f"Set {_SETTING}SASL_MECHANISM to one of these, or enable {wanted} on the brokers",
            )
        return None

    async def _login_cause(self, address: Address) -> Cause | None:
        try:
            (await self._connect(address)).close()
        except TokenUnavailable as error:
            return Cause(error.what, error.advice)
        except SaslAuthenticationFailed as error:
            return _refused_login(self._kafka, address, " ".join(map(str, error.args)))
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            return Cause(f"{address}: {in_words(error)}", _UNKNOWN)
        return None

    async def _connect(self, address: Address) -> AIOKafkaConnection:
        return await create_conn(*address, request_timeout_ms=int(PROBE_SECONDS * 1000), **self._options)

    async def _advertised_cause(self, address: Address) -> Cause | None:
        connection = await self._connect(address)
        try:
            brokers = (await connection.send(MetadataRequest([]))).brokers
        except (KafkaError, TimeoutError):
            return None
        finally:
            connection.close()
        advertised = {Address(host, port): node for node, host, port, *_ in brokers}
        others = [other for other in advertised if other not in self._bootstrap]
        causes = await asyncio.gather(*map(self._step_cause, others))
        for other, cause in zip(others, causes, strict=True):
            if cause is not None:
                return Cause(
                    f"broker {advertised[other]} advertises {other}, and {cause.what}",
                    "Correct advertised.listeners of the broker, or use the port of the listener for this machine in "
                    f"{_SETTING}BOOTSTRAP_SERVERS",
                )
        return None


def _refused_login(kafka: Kafka, address: Address, reason: str) -> Cause:
    match kafka.sasl_mechanism:
        case "OAUTHBEARER":
            return Cause(
                f"{address} does not accept the access token of the {token_origin(kafka)} (OAUTHBEARER: {reason})",
                "Check that the token has not expired, and that its issuer, audience and scope are those that the "
                "brokers require (sasl.oauthbearer.*)",
            )
        case "GSSAPI":
            return Cause(
                f"the Kerberos login at {address} failed: {reason}",
                f"Check the ticket of this process (klist), {_SETTING}SASL_KERBEROS_SERVICE_NAME and the clocks",
            )
        case mechanism:
            return Cause(
                f"{address} does not accept the password of user {kafka.sasl_username} ({mechanism}: {reason})",
                f"Check {_SETTING}SASL_USERNAME and {_SETTING}SASL_PASSWORD",
            )


def _network_cause(address: Address, error: Exception) -> Cause | None:
    match error:
        case socket.gaierror():
            return Cause(
                f"the host name of {address} does not resolve",
                f"Check {_SETTING}BOOTSTRAP_SERVERS and the name resolution of this machine",
            )
        case ConnectionRefusedError():
            return Cause(
                f"{address} refuses connections", f"Check that Kafka runs there, and {_SETTING}BOOTSTRAP_SERVERS"
            )
        case TimeoutError():
            return Cause(
                f"{address} does not answer within {PROBE_SECONDS:.0f} s",
                f"Check {_SETTING}BOOTSTRAP_SERVERS, firewalls, and that the broker runs",
            )
        case _:
            return None


def _certificate_cause(address: Address, error: ssl.SSLCertVerificationError) -> Cause:
    match error.verify_code:  # OpenSSL's X509_V_ERR_…
        case 10:  # CERT_HAS_EXPIRED
            return Cause(
                f"the certificate of {address} has expired",
                "Renew it on the broker, and check the clock of this machine",
            )
        case 9:  # CERT_NOT_YET_VALID
            return Cause(
                f"the certificate of {address} is not valid yet", "Check the clocks of this machine and the broker"
            )
        case 62 | 64:  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH
            return Cause(
                f"the certificate of {address} is not for the host name {address.host}",
                f"Use a name of the certificate in {_SETTING}BOOTSTRAP_SERVERS and advertised.listeners, or issue one "
                "for this name",
            )
        case _:
            return Cause(
                f"the certificate of {address} is not issued by a trusted authority ({error.verify_message})",
                f"Set {_SETTING}SSL_CAFILE to the certificate of the authority of the brokers",
            )


def _together(causes: Iterable[Cause]) -> Cause:
    different = list(dict.fromkeys(causes))
    advice = dict.fromkeys(cause.advice for cause in different)
    return Cause("; ".join(cause.what for cause in different), ". ".join(advice))


def _address(server: str) -> Address:
    host, _, port = server.rpartition(":")
    return Address(host.strip("[]"), int(port))

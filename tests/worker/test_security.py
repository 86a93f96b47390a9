"""FastStream's consumer authenticates as the other clients of the worker do, with every mechanism."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from faststream.kafka.security import parse_security

from worker.kafka.clients import client_options
from worker.kafka.security import broker_security
from worker.settings import Kafka

PASSWORD = {"sasl_username": "worker", "sasl_password": "open sesame"}
SETTINGS: dict[str, dict[str, object]] = {
    "none": {},
    "TLS": {"security_protocol": "SSL"},
    **{
        f"{mechanism}, {protocol}": {"security_protocol": protocol, "sasl_mechanism": mechanism, **more}
        for protocol in ("SASL_PLAINTEXT", "SASL_SSL")
        for mechanism, more in {
            "PLAIN": PASSWORD,
            "SCRAM-SHA-256": PASSWORD,
            "SCRAM-SHA-512": PASSWORD,
            "OAUTHBEARER": {"oauth_provider": "json:dumps"},
            "GSSAPI": {"sasl_kerberos_service_name": "broker", "sasl_kerberos_domain_name": "kafka.example"},
        }.items()
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_faststream_authenticates_as_other_clients(
    settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", ModuleType("gssapi"))
    kafka = Kafka.model_validate(settings)
    options = broker_security(kafka)
    found = parse_security(options.pop("security")) | options
    wanted = client_options(kafka)
    assert found["ssl_context"] is None or wanted["ssl_context"] is not None
    names = [name for name in wanted if name == "security_protocol" or name.startswith("sasl_")]
    assert {name: found[name] for name in names} == {name: wanted[name] for name in names}

"""Addresses without their secrets, as logs, errors and commands show them.

Shown is what is known to be harmless; everything else is masked, because a secret can stand in places for which the
address has no name: a password with an unescaped `@`, a token as the user name, `options=-c name=value`.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from worker.settings.section import HIDDEN

_HARMLESS_PARAMETERS = {
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname", "gssencmode", "host",
    "hostaddr", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
    "load_balance_hosts", "port", "require_auth", "sslcert", "sslcrl", "sslkey", "sslmode", "sslnegotiation",
    "sslrootcert", "target_session_attrs", "tcp_user_timeout", "user",
}  # fmt: skip
_POSTGRES = re.compile(
    r"(?P<scheme>postgres(?:ql)?://)"
    r"(?:(?P<user>[^:@/?#]*)(?P<password>:[^@/?#]*)?@)?"
    r"(?P<host>[\w.,:%\[\]-]*(?:/[\w.%-]*)?)"
    r"(?:\?(?P<parameters>[^@]*))?"
)


def masked_postgres(url: str) -> str:
    """Return a PostgreSQL address without secrets; an unusual one is masked altogether."""
    found = _POSTGRES.fullmatch(url)
    if found is None:
        return f"{url.partition('://')[0]}://{HIDDEN}"
    user = "" if found["password"] is None else f"{found['user']}:"  # alone, it can be a token
    credentials = "" if found["user"] is None else f"{user}{HIDDEN}@"
    parameters = found["parameters"]
    shown = "" if parameters is None else "?" + "&".join(map(_masked_parameter, parameters.split("&")))
    return f"{found['scheme']}{credentials}{found['host']}{shown}"


def masked_query(url: str) -> str:
    """Return an HTTP address with its query masked."""
    parts = urlsplit(url)
    return parts._replace(query=HIDDEN).geturl() if parts.query else url


def _masked_parameter(parameter: str) -> str:
    name, _, _ = parameter.partition("=")
    if name in _HARMLESS_PARAMETERS:
        return parameter
    return f"{name if re.fullmatch('[a-z_]+', name) else HIDDEN}={HIDDEN}"

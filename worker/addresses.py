"""Addresses in settings: of Kafka's brokers, a token endpoint, the DuckDB file, the HTTP port, the source of events.

Each function returns the address as the worker uses it. Raises `ValueError` with what is wrong and what to write; an
address may hold a password, so no error repeats it.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?").fullmatch
_LAST_PORT = 65535
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
EVERY_ADDRESS = "::"
"""The HTTP host for every address of the machine."""


def bootstrap_servers(text: str) -> str:
    """Return a list of `host:port`, separated by commas, without the white space around each entry."""
    if re.search(r"[A-Za-z0-9]+://", text):
        raise ValueError(
            "is host:port without a protocol before it, such as localhost:9092: the protocol is "
            "CUSTOMER_WORKER_KAFKA__SECURITY_PROTOCOL"
        )
    if ";" in text:
        raise ValueError("has semicolons: it is a list of host:port, with commas between")
    return ",".join(_host_and_port(server.strip()) for server in text.split(","))


def _host_and_port(server: str) -> str:
    if not server:
        raise ValueError("has an empty entry: it is a list of host:port, with commas between")
    host, _, port = server.rpartition(":")
    if not host:
        raise ValueError("has an entry without a host or a port: it is a list of host:port, with commas between")
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= _LAST_PORT:
        raise ValueError(
            f"has an entry without a port from 1 to {_LAST_PORT}: it is a list of host:port, with commas between"
        )
    if host.startswith("[") and host.endswith("]"):
        if not _is_ipv6(host[1:-1]):
            raise ValueError("has an entry in brackets that is not an IPv6 address: it is [ADDRESS]:PORT")
    elif ":" in host:
        raise ValueError("has an entry with more than one colon: an IPv6 address stands in brackets, as in [::1]:9092")
    elif not _HOST(host):
        raise ValueError("has an entry whose host is not a host name: it is a list of host:port, with commas between")
    return server


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def token_url(url: str) -> str:
    """Return the address of an OAuth token endpoint, to which the client secret is sent."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is not a number
    except ValueError:
        raise ValueError("is not a URL: it is https://HOST/PATH") from None
    if not parts.hostname or not re.fullmatch(r"[!-~]+", url):
        raise ValueError("is not a URL: it is https://HOST/PATH")
    if parts.username is not None or parts.fragment:
        raise ValueError(
            "has credentials or a fragment: it is https://HOST/PATH, and the credentials are OAUTH_CLIENT_ID and "
            "OAUTH_CLIENT_SECRET"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _THIS_MACHINE):
        raise ValueError("is not https://HOST/PATH: http:// would send the client secret in the clear")
    return url


def sasl_extensions(text: str) -> str:
    """Return SASL extensions in the form `name=value,name=value`. The values contain no comma."""
    for pair in filter(None, (part.strip() for part in text.split(","))):
        # RFC 7628: a name is letters, and `auth` is the token itself.
        if not re.fullmatch(r"[A-Za-z]+=[!-~ ]+", pair) or pair.startswith("auth="):
            raise ValueError("is a list of name=value, with commas between, such as logicalCluster=lkc-1")
    return text


def duckdb_file(path: str) -> str:
    """Return the path of a DuckDB store. A path that DuckDB would interpret as something else is refused."""
    if path.startswith("~"):
        raise ValueError(
            "begins with ~, which is not expanded: write the whole path of the home directory, with four slashes, as "
            "in duckdb:////home/worker/customers.duckdb"
        )
    if "?" in path:
        raise ValueError("has a ?, but duckdb:///FILE takes no parameters: remove the ? and the text after it")
    if re.match("[A-Za-z0-9_]{2,}:", path) or (path.startswith(":") and path != ":memory:"):
        raise ValueError(
            "is duckdb:///FILE, and FILE has no prefix with a colon: it is the path of a file on this machine"
        )
    return path


def uri_reference(text: str) -> str:
    """Return a valid `ce_source`. Any other text would make every event invalid for its subscribers."""
    if not re.fullmatch(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+", text):
        raise ValueError("is not a URI reference, such as /customers: spaces and other characters are written as %20")
    return text


def http_host(host: str) -> str:
    """Return a host name or an IP address to listen on, without brackets and without a port."""
    host = host.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host:
        raise ValueError(
            "is empty: it is 127.0.0.1 for this machine alone, 0.0.0.0 for every IPv4 address, or :: for every address"
        )
    if ":" in host:
        if not _is_ipv6(host):
            raise ValueError("is a host name or an IP address without a port: that is CUSTOMER_WORKER_HTTP__PORT")
        return IPv6Address(host).compressed
    if not _HOST(host):
        raise ValueError("is not a host name or an IP address")
    return host


def shown_address(host: str, port: int) -> str:
    """Return `HOST:PORT` in the form that a URL requires."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

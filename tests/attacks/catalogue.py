"""All attacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.attacks import browsers, content, floods, local_users, proxies
from tests.attacks.attack import Attack, Targets
from tests.attacks.target import TOKEN, running_target
from tests.support.kafka.cluster import Kafka

ATTACKS = (
    Attack("nginx", "default proxy_pass, no token set", proxies.nginx_without_token),
    Attack("nginx, token set", "default proxy_pass; none, wrong and right tokens", proxies.nginx_with_token),
    Attack("socat", "forwarded connections, Host: localhost", proxies.forwarder),
    Attack("another user", "nobody: port, command socket, store file", local_users.other_user),
    Attack("DNS rebinding", "Host headers of other names, with the token", browsers.rebinding),
    Attack("other web sites", "Origin, Sec-Fetch-Site, with the token", browsers.cross_site),
    Attack("response headers", "every kind of response", browsers.response_headers),
    Attack(
        "silent connections", "nothing, half a header, nothing after a response", floods.silent_connections_are_closed
    ),
    Attack("idle flood", f"{floods.CONNECTIONS:,} connections that reconnect", floods.idle),
    Attack("dribbling flood", f"{floods.CONNECTIONS:,} connections, a byte a second", floods.dribbling),
    Attack("escapes in records", "ANSI, C1, bidi, markup in keys, values, headers", content.escapes),
    Attack("secrets in logs", "token and passwords in requests and failures, DEBUG", content.secrets_in_logs),
)


@contextmanager
def targets(kafka: Kafka) -> Iterator[Targets]:
    """Run the workers that are attacked."""
    with running_target(kafka) as opened, running_target(kafka, HTTP__TOKEN=TOKEN) as with_token:
        yield Targets(opened, with_token)

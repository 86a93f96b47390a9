"""Programs between the network and the port: they make every client look local."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.attacks.attack import NotPossible, Targets
from tests.attacks.target import EXPLAIN, QUERIES, REVENUE, TOKEN, connect
from tests.attacks.waiting import wait_until
from tests.support.kafka.local import free_ports

NGINX = """\
daemon off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
  }}
}}
"""


@contextmanager
def nginx(upstream: int) -> Iterator[int]:
    """Run nginx with its default `proxy_pass`; yields its port."""
    with TemporaryDirectory(prefix="nginx-") as directory:
        [port] = free_ports(1)
        configuration = Path(directory) / "nginx.conf"
        configuration.write_text(NGINX.format(directory=directory, port=port, upstream=upstream))
        with listening(["/usr/sbin/nginx", "-p", directory, "-c", str(configuration)], port):
            yield port


@contextmanager
def socat(upstream: int) -> Iterator[int]:
    """Run a forwarder of TCP connections, as `ssh -L`, `kubectl port-forward` and sidecars are; yields its port."""
    [port] = free_ports(1)
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
    with listening(["socat", listen, f"TCP:127.0.0.1:{upstream}"], port):
        yield port


@contextmanager
def listening(command: list[str], port: int) -> Iterator[None]:
    """Run a program that listens at `port`. Raises `NotPossible` if it is not installed."""
    if shutil.which(command[0]) is None:
        raise NotPossible(f"{command[0]} is not installed: apt-get install nginx-light socat")
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: accepts(port), f"{command[0]} listens", 10)
            yield
        finally:
            process.terminate()


def accepts(port: int) -> bool:
    """Return whether something listens at the port."""
    try:
        with closing(connect(port)):
            return True
    except OSError:
        return False


def nginx_without_token(targets: Targets) -> str:
    """Query through nginx the worker that has no token."""
    target = targets.open
    with nginx(target.port) as port:
        seen = {target.require_refused(path, {}, 403, port=port) for path in QUERIES}
        seen |= {target.require_refused(path, {"Authorization": f"Bearer {TOKEN}"}, 403, port=port) for path in QUERIES}
        assert target.get("/livez", port=port).status == 200
    return f"{seen}; /livez 200"


def nginx_with_token(targets: Targets) -> str:
    """Query through nginx the worker that has a token: with none, a wrong one, and the right one."""
    target = targets.with_token
    wrong = ("", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN)
    with nginx(target.port) as port:
        seen = {target.require_refused(path, {}, 401, port=port) for path in QUERIES}
        for authorization in wrong:
            seen.add(target.require_refused(EXPLAIN, {"Authorization": authorization}, 401, port=port))
        answer = target.get(EXPLAIN, {"Authorization": f"Bearer {TOKEN}"}, port)
    assert answer.status == 200
    assert REVENUE in answer.body
    return f"{seen} without the token, 200 with it"


def forwarder(targets: Targets) -> str:
    """Query through a forwarder of connections."""
    seen = set()
    for target, refused in ((targets.open, 403), (targets.with_token, 401)):
        with socat(target.port) as port:
            for path in QUERIES:
                seen.add(target.require_refused(path, {"Host": "localhost"}, refused, port=port))
    return str(seen)

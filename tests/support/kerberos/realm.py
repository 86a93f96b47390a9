"""A real Kerberos realm: MIT's KDC on a free port of this machine, its database and keytabs in a directory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.kafka.local import LOOPBACK, free_ports

REALM = "CUSTOMERS.TEST"
PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/opt/krb5/sbin", "/opt/homebrew/opt/krb5/bin")
LIMIT_S = 30

KRB5_CONF = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  {realm} = {{
    kdc = {host}:{port}
  }}
[domain_realm]
  localhost = {realm}
"""
KDC_CONF = """\
[kdcdefaults]
  kdc_listen = ""
  kdc_tcp_listen = {host}:{port}
[realms]
  {realm} = {{
    database_name = {directory}/principal
    key_stash_file = {directory}/stash
  }}
[logging]
  kdc = FILE:{directory}/kdc.log
"""


def program(name: str) -> str:
    """Return the path of a program of Kerberos. Raise where it is missing: a test without it fails, it never skips."""
    if found := shutil.which(name) or shutil.which(name, path=os.pathsep.join(PLACES)):
        return found
    raise RuntimeError(
        f"`{name}` is not installed. Install MIT Kerberos and a C compiler "
        "(apt-get install krb5-kdc krb5-admin-server libkrb5-dev gcc)"
    )


class Realm:
    """A realm. `environment` is that of the programs that use it."""

    def __init__(self, directory: Path) -> None:
        [self._port] = free_ports(1)
        self._directory = directory
        self.krb5_conf = directory / "krb5.conf"
        kdc_conf = directory / "kdc.conf"
        values = {"realm": REALM, "host": LOOPBACK, "port": self._port, "directory": directory}
        self.krb5_conf.write_text(KRB5_CONF.format(**values))
        kdc_conf.write_text(KDC_CONF.format(**values))
        self.environment = {"KRB5_CONFIG": str(self.krb5_conf), "KRB5_KDC_PROFILE": str(kdc_conf)}
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master password")

    def keytab(self, principal: str, ticket_seconds: int = 3600) -> Path:
        """Add a principal, whose tickets last so long at most, and return its keytab."""
        keytab = self._directory / f"{principal.replace('/', '-')}.keytab"
        self._run("kadmin.local", "-r", REALM, "addprinc", "-randkey", "-maxlife", f"{ticket_seconds}s", principal)
        self._run("kadmin.local", "-r", REALM, "ktadd", "-k", str(keytab), principal)
        return keytab

    def obtain_ticket(self, keytab: Path, principal: str, cache: Path, seconds: int = 3600) -> None:
        """Put a ticket into the cache, as `kinit` run by a timer does."""
        new = cache.with_suffix(".new")
        self._run("kinit", "-l", f"{seconds}s", "-c", f"FILE:{new}", "-k", "-t", str(keytab), principal)
        new.rename(cache)

    def wait_until_expired(self, cache: Path) -> None:
        """Wait until the ticket in the cache has expired."""
        command = [program("klist"), "-s", f"FILE:{cache}"]
        deadline = time.monotonic() + LIMIT_S
        while not subprocess.run(command, env=os.environ | self.environment, timeout=LIMIT_S, check=False).returncode:
            assert time.monotonic() < deadline, f"the ticket in {cache} does not expire"
            time.sleep(0.1)
        time.sleep(1)  # the library uses a ticket throughout the second in which it expires

    def tickets_issued(self, principal: str) -> int:
        """Count the logins of a principal at the KDC."""
        lines = (self._directory / "kdc.log").read_text(errors="replace").splitlines()
        return sum("AS_REQ" in line and "ISSUE" in line and f" {principal}@" in line for line in lines)

    @contextmanager
    def running_kdc(self) -> Iterator[None]:
        """Run the KDC until the block ends."""
        with (
            (self._directory / "krb5kdc.log").open("wb") as log,
            subprocess.Popen(
                [program("krb5kdc"), "-n", "-r", REALM], env=os.environ | self.environment, stdout=log, stderr=log
            ) as process,
        ):
            try:
                self._wait_until_listening(process)
                yield
            finally:
                process.kill()

    def _wait_until_listening(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError):
                socket.create_connection((LOOPBACK, self._port), timeout=LIMIT_S).close()
                return
            time.sleep(0.02)  # not yet listening: ask again, but not in a spin
        raise RuntimeError(f"the KDC did not start: {(self._directory / 'krb5kdc.log').read_text()[-2000:]}")

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [program(name), *arguments],
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} {arguments[0]} failed: {done.stdout}{done.stderr}")


@contextmanager
def running_realm(directory: Path) -> Iterator[Realm]:
    """Run a realm until the block ends; its files are put into the directory."""
    realm = Realm(directory)
    with realm.running_kdc():
        yield realm

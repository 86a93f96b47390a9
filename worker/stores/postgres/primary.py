"""The primary among the servers of an address, as one worker uses it.

A standby can be promoted while the former primary still runs, or runs again. Both accept writes, and differ from then
on. A worker stays with the server that it uses, and never goes back to a former primary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from worker.stores.postgres import session
from worker.stores.postgres.connection import NO_SETTINGS, Connection, connect
from worker.stores.postgres.session import UnusableSessionError

log = structlog.get_logger(__name__)


class Server(NamedTuple):
    """A primary: the identifier of its cluster, which standbys share, and its timeline, which a promotion raises."""

    cluster: int
    timeline: int


class Primary:
    """The primary at `url`, which may name several hosts. `address` has the host in use before the others."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._server: Server | None = None
        self.address = url

    def connect(self, own: Mapping[str, str] = NO_SETTINGS) -> Connection:
        """Connect, with settings of this connection. Raises the driver's errors, also for a former primary."""
        db = connect(self.address, own)
        try:
            self._use(db)
        except BaseException:
            db.close()
            raise
        return db

    def connect_to_write(self) -> Connection:
        """Connect for writing: the server ends the transactions of a frozen worker, as others wait for its locks."""
        db = self.connect(session.WRITING)
        try:
            session.require_writable(db)
        except BaseException:
            db.close()
            raise
        return db

    def _use(self, db: Connection) -> None:
        found, known = _server_of(db), self._server
        if found is None:
            return
        if known is not None and known.cluster == found.cluster and found.timeline < known.timeline:
            raise UnusableSessionError(
                f"the server {_shown(db)} is on timeline {found.timeline}, but this worker has used timeline "
                f"{known.timeline}: it is a former primary, which runs again beside the promoted one. Stop it, or make "
                "it a standby. If it was restored from a backup on purpose, restart the workers"
            )
        if known is not None and known != found:
            log.warning("store failed over", server=_shown(db), timeline=found.timeline, former_timeline=known.timeline)
        self._server = found
        self.address = _preferring(self._url, db.info.host, str(db.info.port))


def _server_of(db: Connection) -> Server | None:
    """Return the primary; None for a standby, and for databases without these functions."""
    try:
        [found] = db.execute(_SERVER).fetchall()
    except psycopg.Error:
        if db.closed:
            raise
        return None
    return Server(*found)


# pg_control_checkpoint() has the new timeline only after the first checkpoint.
_SERVER = """
    SELECT (SELECT system_identifier FROM pg_control_system()),
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
"""


def _shown(db: Connection) -> str:
    return f"{db.info.host}:{db.info.port}"


def _preferring(url: str, host: str, port: str) -> str:
    """Return the address with this host before the others; unchanged if it does not name several."""
    parts = conninfo_to_dict(url)
    hosts = str(parts.get("host") or "").split(",")
    ports = str(parts.get("port") or "").split(",")
    if parts.get("hostaddr") or not hosts[1:]:
        return url
    pairs = list(zip(hosts, ports if ports[1:] else ports * len(hosts), strict=False))
    pairs.sort(key=lambda pair: pair not in {(host, port), (host, "")})
    ordered = {"host": ",".join(each for each, _ in pairs), "port": ",".join(each for _, each in pairs)}
    return make_conninfo("", **parts | ordered)

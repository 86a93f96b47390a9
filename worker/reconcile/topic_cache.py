"""Cache of the totals of `customer.churned`, in a file. If it is lost, the whole topic is read again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import MappingProxyType

import msgspec

from worker.settings import Settings
from worker.stores.churns import Sum


class ReadPrefix(msgspec.Struct, frozen=True):
    """A partition from the `begin` of its log to `end`. The batch before `end` has this checksum.

    A log is append-only, and the checksum covers the producer and the timestamps of the batch. While the batch is at
    its offset, everything before it is unchanged, with two exceptions: truncation moves the beginning of the log, and
    compaction removes records that a later record with the same key replaces, which will be read itself.
    """

    begin: int
    end: int
    checksum: int


class CachedReading(msgspec.Struct, frozen=True):
    """Totals of each day for the events in these prefixes of the partitions, made with `fingerprinted_by`.

    `read_at` is the time when they were last read or found unchanged, in seconds since 1970.
    """

    fingerprinted_by: str
    read_at: float = 0.0
    prefixes: Mapping[int, ReadPrefix] = MappingProxyType({})
    days: Mapping[date, Sum] = MappingProxyType({})

    @property
    def count(self) -> int:
        """Number of events."""
        return sum(day.count for day in self.days.values())


class TopicCache:
    """The cache of one topic of one cluster, in the user's cache directory. Without such a directory it stays empty."""

    def __init__(self, settings: Settings) -> None:
        which = f"{settings.kafka.bootstrap_servers} {settings.topics.churned}"
        self._name = f"reconciled-{sha256(which.encode()).hexdigest()[:16]}.json"

    def load(self, fingerprinted_by: str, since: float) -> CachedReading:
        """Return the cached reading if it was made after `since` with the same fingerprints, else an empty one."""
        with suppress(OSError, RuntimeError, msgspec.DecodeError):
            found = msgspec.json.decode((_directory() / self._name).read_bytes(), type=CachedReading)
            if found.fingerprinted_by == fingerprinted_by and found.read_at > since:
                return found
        return CachedReading(fingerprinted_by)

    def save(self, reading: CachedReading) -> None:
        """Replace the cached reading."""
        with suppress(OSError, RuntimeError):
            directory = _directory()
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=directory, prefix=self._name, delete=False) as file:
                file.write(msgspec.json.encode(reading))
            Path(file.name).replace(directory / self._name)


def _directory() -> Path:
    """Return the cache directory. Raises `RuntimeError` if the user has no home directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "customer-worker"

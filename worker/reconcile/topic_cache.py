"""What was read of `customer.churned`, kept in a file from one command to the next.

It may be lost at any time: then everything is read again.
"""

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
    """A partition from where its log began up to `end`, before which stands a batch with this checksum.

    A log is written at its end only, and the checksum is of who wrote the batch and when, too: while that batch stands
    there, what stood before it does, but for two things: what is cut off a log moves its beginning, and compaction
    takes away what a later record with the same key replaces, which is read when it comes.
    """

    begin: int
    end: int
    checksum: int


class Remembered(msgspec.Struct, frozen=True):
    """Each day's events in these stretches of the partitions, added up with `fingerprinted_by`.

    `read_at` is when they were read or found as they were, in seconds since 1970.
    """

    fingerprinted_by: str
    read_at: float = 0.0
    stretches: Mapping[int, ReadPrefix] = MappingProxyType({})
    days: Mapping[date, Sum] = MappingProxyType({})

    @property
    def count(self) -> int:
        """Of how many events."""
        return sum(day.count for day in self.days.values())


class TopicCache:
    """The file for one topic of one cluster, in the user's cache directory. A user who has none remembers nothing."""

    def __init__(self, settings: Settings) -> None:
        which = f"{settings.kafka.bootstrap_servers} {settings.topics.churned}"
        self._name = f"reconciled-{sha256(which.encode()).hexdigest()[:16]}.json"

    def recall(self, fingerprinted_by: str, since: float) -> Remembered:
        """What was kept, if it was read since then and added up in this way; else nothing."""
        with suppress(OSError, RuntimeError, msgspec.DecodeError):
            found = msgspec.json.decode((_directory() / self._name).read_bytes(), type=Remembered)
            if found.fingerprinted_by == fingerprinted_by and found.read_at > since:
                return found
        return Remembered(fingerprinted_by)

    def keep(self, remembered: Remembered) -> None:
        """Keep this in place of what there was."""
        with suppress(OSError, RuntimeError):
            directory = _directory()
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=directory, prefix=self._name, delete=False) as file:
                file.write(msgspec.json.encode(remembered))
            Path(file.name).replace(directory / self._name)


def _directory() -> Path:
    """Raises `RuntimeError` where the user has no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "customer-worker"

"""The errors of a store. Each message has the failure and the remedy."""

from __future__ import annotations


class StoreError(Exception):
    """A database that failed, or cannot be used."""


class StoreConflictError(StoreError):
    """A conflict with a concurrent worker, which changed rows that this batch has read. Deciding it again helps."""


class NotTheOwnerError(StoreError):
    """A partition of the batch that another worker has claimed. That worker decides its records."""


class StoreBehindError(StoreError):
    """A store without the last commits of this worker: an older copy, or a standby promoted to primary, took its place.

    The worker has to continue from the positions of that copy.
    """


class NewerStoreError(StoreError):
    """Tables migrated to a version that only newer workers support. This worker must stop writing."""


class StoreDamagedError(StoreError):
    """Stored data that cannot be read. Retrying does not help."""


class StoreInUseError(StoreError):
    """A store that another process has open."""


class NoStoreError(StoreError):
    """A store to be read that does not exist."""

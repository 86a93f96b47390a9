"""The errors of a store: each message says what failed and what to do."""

from __future__ import annotations


class StoreError(Exception):
    """The database failed, or cannot be used."""


class StoreConflictError(StoreError):
    """Another worker changed what this batch was decided on. Deciding it again helps."""


class NotTheOwnerError(StoreError):
    """Another worker has claimed a partition of the batch, and decides its records."""


class NewerStoreError(StoreError):
    """The tables were migrated to a version that only newer workers know. This worker must not write any more."""


class StoreDamagedError(StoreError):
    """Stored data cannot be read back. Trying again does not help."""


class StoreInUseError(StoreError):
    """Another process has the store open."""


class NoStoreError(StoreError):
    """There is no store yet where one is to be read."""

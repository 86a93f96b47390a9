"""The worker's command line on a store whose commits become durable and fail all the same, as a disk can do."""

from __future__ import annotations

from worker.cli.main import main
from worker.stores.changes import Changes, Committed
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import StoreError

_commit = DuckDBStore.commit


def _commit_and_fail(store: DuckDBStore, changes: Changes) -> Committed:
    committed = _commit(store, changes)
    if changes.outbox:  # the batch tried again finds everything done, and has nothing to send
        raise StoreError("the answer to a commit was lost, although it was done")
    return committed


if __name__ == "__main__":
    DuckDBStore.commit = _commit_and_fail  # type: ignore[assignment, method-assign]
    main()

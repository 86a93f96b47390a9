"""The worker's command line on a store that fails: by errors that quote records, or by a limit on the size of files."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from itertools import count

import duckdb

from worker.cli.main import main
from worker.stores.changes import Changes, Committed
from worker.stores.duckdb.file import wrap_errors
from worker.stores.duckdb.store import DuckDBStore

QUOTED = "FAILING_STORE_QUOTES"
LARGEST_FILE = "FAILING_STORE_LARGEST_FILE"
_commit = DuckDBStore.commit
_commits = count()


def _convert(_: DuckDBStore, text: str) -> None:
    duckdb.execute("SELECT ?::UUID", [text])


def _look_up(_: DuckDBStore, text: str) -> None:
    names: dict[str, int] = {}
    names[text] += 1


def _decode(_: DuckDBStore, text: str) -> None:
    (text.encode() + b"\xff").decode()


_FAILURES: list[Callable[[DuckDBStore, str], None]] = [wrap_errors(_convert), _look_up, _decode, _convert]
FAILURES = len(_FAILURES)


def _fail_first(store: DuckDBStore, changes: Changes) -> Committed:
    number = next(_commits)
    if number < FAILURES:
        _FAILURES[number](store, os.environ[QUOTED])
    return _commit(store, changes)


if __name__ == "__main__":
    if QUOTED in os.environ:
        DuckDBStore.commit = _fail_first  # type: ignore[assignment, method-assign]
    if largest := os.environ.get(LARGEST_FILE):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), int(largest)))
    main()

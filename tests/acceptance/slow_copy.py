"""The worker's command line, which copies a store byte by byte: there is time to interrupt it."""

from __future__ import annotations

from worker.cli.main import main
from worker.stores.duckdb import copy as duckdb_copy

if __name__ == "__main__":
    duckdb_copy.PART_BYTES = 1
    main()

"""The worker as it is, but with a checkpoint every few seconds, so that faults can meet one."""

import sys

from tests.support.worker_process import module_command
from worker.cli.main import main
from worker.stores.duckdb import store as duckdb

CHECKPOINT_AT_WAL_BYTES = 128 * 1024


def command() -> list[str]:
    """Return the command line of a worker whose write-ahead log is small."""
    return [sys.executable, "-m", "tests.faults.small_wal", *module_command("run")[3:]]


if __name__ == "__main__":
    duckdb.CHECKPOINT_AT_WAL_BYTES = CHECKPOINT_AT_WAL_BYTES
    main()

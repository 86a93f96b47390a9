"""The worker as it is, but with a transaction timeout that a test can wait for."""

import sys

from tests.support.worker_process import module_command
from worker.cli.main import main
from worker.kafka import clients

TRANSACTION_TIMEOUT_MS = 3_000


def command() -> list[str]:
    """Return the command line of a worker whose transactions time out soon."""
    return [sys.executable, "-m", "tests.faults.short_transactions", *module_command("run")[3:]]


if __name__ == "__main__":
    clients.TRANSACTION_TIMEOUT_MS = TRANSACTION_TIMEOUT_MS
    main()

"""The command line of an export that is hampered: `full-before`, `full-after` or `terminated`, then the arguments."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from worker.cli.main import main
from worker.snapshots import export

FEW_BYTES = 100


def fill_disk() -> None:
    """Let no file of this process become larger than a few bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FEW_BYTES, FEW_BYTES))


def then(hamper: Callable[[], object]) -> None:
    """Hamper the command once it has received the rows."""
    take = export.__dict__["take_snapshot"]

    def take_and_be_hampered(*arguments: Any) -> None:
        take(*arguments)
        hamper()

    export.__dict__["take_snapshot"] = take_and_be_hampered


if __name__ == "__main__":
    how = sys.argv.pop(1)
    if how == "full-before":
        fill_disk()
    elif how == "full-after":
        then(fill_disk)
    else:
        then(lambda: os.kill(os.getpid(), signal.SIGTERM))
    main()

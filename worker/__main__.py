"""`customer-worker`, and `python -m worker`: signal handlers first, then the command line, which takes long to load."""

import sys

from worker import signals
from worker.loading import without_collection


def main() -> None:
    """Install the signal handlers, and run the command line."""
    signals.install(sys.argv[1:])
    with without_collection():
        from worker.cli.main import main as command_line  # noqa: PLC0415 - after the handlers

    command_line()


if __name__ == "__main__":
    main()

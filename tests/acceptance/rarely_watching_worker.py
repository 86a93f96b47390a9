"""The worker's command line with a pause of some seconds between two comparisons of topic ids, as under load."""

from __future__ import annotations

from worker.cli.main import main
from worker.consumer import input_watch

LOOK_EVERY_SECONDS = 6.0

if __name__ == "__main__":
    input_watch.LOOK_EVERY_SECONDS = LOOK_EVERY_SECONDS
    main()

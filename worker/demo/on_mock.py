"""The worker's command line for the in-process broker, whose commit markers carry no checksum.

A reader that checks checksums, as the worker's do, takes such a marker for a damaged record. Everything else is the
worker itself; on a real Kafka the demo runs `python -m worker` itself.
"""

from functools import partial

from worker.cli.main import main
from worker.kafka import clients as kafka

kafka.committed_reader = partial(kafka.committed_reader, check_crcs=False)

if __name__ == "__main__":
    main()

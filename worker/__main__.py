"""`python -m worker` is `customer-worker`."""

from worker.cli import main

main()

"""The command line of that version."""

import sys
import tempfile
from pathlib import Path

from tests.newer import steps
from worker.cli.main import main
from worker.stores import migrations

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        migrations.STEPS = steps(Path(directory))
        sys.exit(main())  # type: ignore[func-returns-value]

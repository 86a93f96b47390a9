"""The worker of a version to come: it has one more migration, as real ones will be had."""

import shutil
from pathlib import Path

from worker.stores import migrations

SQL = Path(__file__).with_name("sql")


def steps(directory: Path) -> Path:
    """The steps of that version, written to `directory`: those of today, and one more."""
    shutil.copytree(Path(str(migrations.STEPS)), directory, dirs_exist_ok=True)
    shutil.copytree(SQL, directory, dirs_exist_ok=True)
    return directory

"""The worker of a version to come: it has one more migration, as real ones will be had."""

import shutil
from pathlib import Path

from worker.stores import migrations

SQL = Path(__file__).with_name("sql")
TODAY = migrations.newest_version("duckdb")
NEXT = TODAY + 1
STEP = f"{NEXT:04}_a_time_to_come.sql"


def steps(directory: Path) -> Path:
    """Write the steps of that version to `directory`: today's, and one more."""
    shutil.copytree(Path(str(migrations.STEPS)), directory, dirs_exist_ok=True)
    for file in SQL.glob("*/*.sql"):
        shutil.copy(file, directory / file.parent.name / STEP)
    return directory

"""FastStream's own command line runs the worker too, from a factory: importing it does nothing."""

import subprocess
import sys

import pytest

from tests.support.corpus import make_corpus
from tests.support.stage import PARTITIONS, Stage
from tests.support.worker_process import environment, faststream_command

pytestmark = pytest.mark.timeout(120)


def test_faststream_run_does_the_whole_job(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(500, PARTITIONS).messages)
    worker = stage.start(faststream_command())
    stage.finish(worker)
    stage.require_as_expected()
    assert stage.group_is_empty()


def test_import_of_the_application_reads_no_setting(stage: Stage) -> None:
    wrong = environment({"BATCH__MAX_RECORDS": "many"})
    done = subprocess.run(
        [sys.executable, "-c", "import worker.app"],
        env=wrong,
        cwd=stage.directory,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not stage.store_file.exists()

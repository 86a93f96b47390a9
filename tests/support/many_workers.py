"""Many workers of one group on one PostgreSQL: started, waited for, and brought to the end of their topics."""

from tests.support.comparison import require_as_expected
from tests.support.stage import Stage
from tests.support.store_reader import read_postgres
from tests.support.worker_process import WorkerProcess


def start_three(stage: Stage) -> list[WorkerProcess]:
    """Three workers that have joined the group."""
    workers = [stage.start(BATCH__MAX_RECORDS="200") for _ in range(3)]
    for worker in workers:
        worker.wait_until(lambda at=worker: bool(at.events("started")), "started")  # type: ignore[misc]
    workers[0].wait_until(lambda: stage.members() == len(workers), "three members in a group at rest")
    return workers


def wait_for_batches(*workers: WorkerProcess, count: int = 1) -> None:
    """Until each has committed so many batches."""
    for worker in workers:
        worker.wait_until(lambda at=worker: len(at.events("batch applied")) >= count, f"{count} batches")  # type: ignore[misc]


def finish(stage: Stage, url: str, *workers: WorkerProcess) -> None:
    """Let the workers take all there is and publish it; then everything is as the oracle has it."""
    stage.wait_until_consumed(workers[0])
    stage.wait_until_published(workers[0])
    for worker in workers:
        worker.terminate()
    assert [worker.wait() for worker in workers] == [0] * len(workers)
    require_as_expected(stage.expected(), stage.published(), read_postgres(url), stage.topics)

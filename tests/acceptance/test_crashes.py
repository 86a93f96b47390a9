"""A worker that is killed at any failpoint and restarted ends with the same result."""

import pytest

from tests.support.corpus import make_corpus
from tests.support.records import Message
from tests.support.stage import JOB_LIMIT_S, PARTITIONS, Stage
from tests.support.worker_process import KILLED

pytestmark = pytest.mark.timeout(240)
SMALL_BATCHES = {"BATCH__MAX_RECORDS": "500"}
CRASHES = 2


@pytest.mark.parametrize(
    "failpoint", ["before-commit", "after-commit", "in-transaction", "after-publish", "in-recover"]
)
def test_repeated_kill_at_failpoint_keeps_exactly_once(stage: Stage, failpoint: str) -> None:
    stage.settings |= SMALL_BATCHES
    stage.create_topics()
    messages = make_corpus(2_000, PARTITIONS).messages
    parts = _in_order(messages, CRASHES + 1)
    if failpoint == "in-recover":
        stage.produce(parts.pop())
        _run_until_killed(stage, "in-transaction:1")  # so that there is something in doubt to recover
    while len(parts) > 1:
        stage.produce(parts.pop())  # so that each life has something to commit and to publish
        _run_until_killed(stage, f"{failpoint}:{2 if failpoint.endswith('commit') else 1}")
    stage.produce(parts.pop())
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def _run_until_killed(stage: Stage, failpoint: str) -> None:
    worker = stage.start(FAILPOINT=failpoint)
    code = worker.wait(JOB_LIMIT_S)
    assert code == KILLED, f"{failpoint}: ended with {code} instead of being killed:\n{worker.tail()}"


def _in_order(messages: list[Message], count: int) -> list[list[Message]]:
    """Split the messages into so many parts, the last part first: parts are taken from the end."""
    size = -(-len(messages) // count)
    return [messages[begin : begin + size] for begin in range(0, len(messages), size)][::-1]

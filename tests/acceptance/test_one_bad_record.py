"""One bad record never holds up or fails the records around it."""

import uuid

import pytest

from tests.support.records import Message
from tests.support.spelling import signup
from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(120)
RECORDS = 50_000


def test_one_bad_record_of_fifty_thousand_affects_no_other(stage: Stage) -> None:
    stage.settings["BATCH__MAX_RECORDS"] = str(RECORDS)
    ids = [str(uuid.UUID(int=number, version=4)) for number in range(1, RECORDS + 1)]
    messages = [Message("signup", None, signup(customer_id), partition=0) for customer_id in ids]
    messages[RECORDS // 2] = Message("signup", None, b"\xff not a record at all", partition=0)
    stage.create_topics(partitions=1)
    stage.produce(messages, codec="lz4")
    worker = stage.run_to_the_end_of_the_topics()
    [batch] = worker.events("batch applied")
    counts = {name: batch[name] for name in ("records", "applied", "duplicate", "parked", "rejected")}
    assert counts == {"records": RECORDS, "applied": RECORDS - 1, "duplicate": 0, "parked": 0, "rejected": 1}
    [rejected] = worker.events("record rejected")
    assert (rejected["offset"], rejected["reason"]) == (RECORDS // 2, "malformed")
    assert rejected["level"] == "warning"
    assert len(stage.store().customers) == RECORDS - 1

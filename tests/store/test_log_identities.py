"""The identity of the log of each position, in every store."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.support.builders import CANCELLATIONS, SIGNUPS
from worker.messages.log_identity import LogIdentity, RecordMark
from worker.stores.changes import Changes
from worker.stores.port import Store

SIGNUP, CANCELLATION = (SIGNUPS, 0), (CANCELLATIONS, 0)
ID, OTHER_ID = UUID(int=1), UUID(int=2)
MARK, NEXT_MARK = RecordMark(4, -(2**63)), RecordMark(5, 2**63 - 1)


@pytest.fixture
def read(store: Store) -> Store:
    """Return a store that has read five signups of a log that it can recognise."""
    store.identify_logs({SIGNUP: ID})
    store.commit(Changes(positions={SIGNUP: 5}, last_records={SIGNUP: MARK}))
    return store


def test_commit_keeps_the_topic_id_and_the_last_record(read: Store) -> None:
    assert read.logs() == {SIGNUP: LogIdentity(ID, MARK)}
    read.commit(Changes(positions={SIGNUP: 6}, last_records={SIGNUP: NEXT_MARK}))
    assert read.logs() == {SIGNUP: LogIdentity(ID, NEXT_MARK)}


def test_reopened_store_knows_its_logs(read: Store) -> None:
    read.reopen()
    assert read.logs() == {SIGNUP: LogIdentity(ID, MARK)}


def test_commit_without_a_record_keeps_the_last_one(read: Store) -> None:
    read.commit(Changes(positions={SIGNUP: 5}))
    assert read.logs() == {SIGNUP: LogIdentity(ID, MARK)}


def test_identify_fills_in_only_what_is_unknown(store: Store) -> None:
    store.commit(Changes(positions={SIGNUP: 5, CANCELLATION: 3}, last_records={SIGNUP: MARK}))
    assert store.logs() == {SIGNUP: LogIdentity(None, MARK), CANCELLATION: LogIdentity()}
    store.identify_logs({SIGNUP: ID})
    assert store.logs() == {SIGNUP: LogIdentity(ID, MARK), CANCELLATION: LogIdentity()}
    store.identify_logs({SIGNUP: OTHER_ID, CANCELLATION: OTHER_ID})
    assert store.logs() == {SIGNUP: LogIdentity(ID, MARK), CANCELLATION: LogIdentity(OTHER_ID)}


def test_identify_makes_no_position(store: Store) -> None:
    store.identify_logs({SIGNUP: ID})
    assert store.logs() == {}
    assert store.claim([SIGNUP]) == {}


def test_forgotten_position_is_of_another_log(read: Store) -> None:
    read.forget_position(SIGNUP, 0)
    assert read.logs() == {SIGNUP: LogIdentity()}
    assert read.claim([SIGNUP]) == {SIGNUP: 0}
    read.identify_logs({SIGNUP: OTHER_ID})
    assert read.logs() == {SIGNUP: LogIdentity(OTHER_ID)}

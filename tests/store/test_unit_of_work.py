"""The unit of work commits one batch, all or nothing, on every store."""

from datetime import date

import pytest

from tests.support.builders import ADA, BOB, CANCELLATIONS, EVE, SIGNUPS, customer
from tests.support.changes import details, everything_in, ids, outgoing, waiting
from tests.support.databases import Database
from worker.messages.message import Cancellation
from worker.messages.record import PlainRecord, Record
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.changes import JournalRow
from worker.stores.errors import StoreError
from worker.stores.port import Store

CHURN = date(2026, 6, 30)


def at(offset: int, topic: str = SIGNUPS, partition: int = 0) -> PlainRecord:
    return PlainRecord(topic, partition, offset, 0, None, b"", [])


def reached(ends: dict[tuple[str, int], int]) -> dict[tuple[str, int], Record]:
    """Return the last record before each of these offsets."""
    return {(topic, partition): at(end - 1, topic, partition) for (topic, partition), end in ends.items()}


def early(offset: int, customer_id: str = EVE) -> Cancellation:
    record = waiting(offset, customer_id)
    return Cancellation(
        record,
        offset,
        0,
        is_redriven=False,
        customer_id=customer_id,
        cancellation_date=CHURN,
        reason=None,
        timestamp=0,
        event_headers=b"",
    )


def save(store: Store, *customer_ids: str) -> None:
    with UnitOfWork(store) as work:
        for customer_id in customer_ids:
            work.customers.save(customer(customer_id))
        work.commit()


def park(store: Store, *offsets: int) -> None:
    with UnitOfWork(store) as work:
        for offset in offsets:
            work.parked.add(early(offset))
        work.commit()


# All or nothing


def test_uncommitted_changes_are_discarded(database: Database, store: Store) -> None:
    before = everything_in(database, store)
    with UnitOfWork(store) as work:
        _change_everything(work)
    assert everything_in(database, store) == before


def test_error_is_raised_and_leaves_nothing(database: Database, store: Store) -> None:
    before = everything_in(database, store)
    with pytest.raises(LookupError), UnitOfWork(store) as work:  # noqa: PT012
        _change_everything(work)
        raise LookupError
    assert everything_in(database, store) == before


def test_failed_commit_leaves_nothing_and_the_next_succeeds(database: Database, store: Store) -> None:
    before = everything_in(database, store)
    with UnitOfWork(store) as work:
        _change_everything(work)
        work.journal.append(JournalRow(SIGNUPS, 0, 1, "no uuid", "applied", None))
        with pytest.raises(StoreError):
            work.commit()
    assert everything_in(database, store) == before
    save(store, ADA)
    assert details(store.active_customers()) == details([customer(ADA)])


def test_commit_makes_every_change_and_returns_the_messages(database: Database, store: Store) -> None:
    with UnitOfWork(store) as work:
        _change_everything(work)
        committed = work.commit()
    assert ids(committed.messages) == ["1"]
    after = everything_in(database, store)
    assert after["customers"] == details([customer(ADA)])
    assert after["parked"] == [(EVE, waiting(0))]
    assert after["journal"] == [(SIGNUPS, 0, 0, ADA, "applied", None, None)]
    assert after["positions"] == {(SIGNUPS, 0): 1}


def _change_everything(work: UnitOfWork) -> None:
    work.customers.save(customer(ADA))
    work.parked.add(early(0))
    work.journal.append(JournalRow(SIGNUPS, 0, 0, ADA, "applied", None))
    work.outbox.append(outgoing("1"))
    work.positions.advance(reached({(SIGNUPS, 0): 1}))


# Customers: each is one object


def test_customer_is_one_object_per_unit_of_work(store: Store) -> None:
    save(store, ADA)
    with UnitOfWork(store) as work:
        ada = work.customers.get_by_id(ADA)
        assert ada is not None
        assert work.customers.get_by_id(ADA) is ada
        work.customers.load({ADA})
        assert work.customers.get_by_id(ADA) is ada


def test_a_customer_just_saved_is_found_before_the_commit(store: Store) -> None:
    with UnitOfWork(store) as work:
        assert work.customers.get_by_id(ADA) is None
        ada = customer(ADA)
        work.customers.save(ada)
        assert work.customers.get_by_id(ADA) is ada


def test_loading_again_keeps_changes(store: Store) -> None:
    save(store, ADA)
    with UnitOfWork(store) as work:
        ada = work.customers.get_by_id(ADA)
        assert ada is not None
        ada.mark_churned(CHURN)
        work.customers.save(ada)
        work.customers.load({ADA, BOB})
        assert work.customers.get_by_id(ADA) is ada
        work.commit()
    assert [found.churn_date for found in store.customers([ADA])] == [CHURN]


def test_signup_and_churn_in_one_batch_are_stored(store: Store) -> None:
    with UnitOfWork(store) as work:
        ada = customer(ADA)
        work.customers.save(ada)
        ada.mark_churned(CHURN)
        work.customers.save(ada)
        work.commit()
    assert details(store.customers([ADA])) == details([customer(ADA, CHURN)])


def test_customer_saved_twice_is_written_once(store: Store) -> None:
    save(store, ADA, BOB)
    with UnitOfWork(store) as work:
        ada = work.customers.get_by_id(ADA)
        assert ada is not None
        work.customers.save(ada)
        ada.mark_churned(CHURN)
        work.customers.save(ada)
        work.commit()
    assert details(store.customers([ADA, BOB])) == details([customer(ADA, CHURN), customer(BOB)])


def test_a_change_that_is_not_saved_is_not_kept(store: Store) -> None:
    save(store, ADA)
    with UnitOfWork(store) as work:
        ada = work.customers.get_by_id(ADA)
        assert ada is not None
        ada.mark_churned(CHURN)
        work.commit()
    assert [found.is_active for found in store.customers([ADA])] == [True]


def test_active_customers_include_uncommitted_changes(store: Store) -> None:
    save(store, ADA, BOB)
    with UnitOfWork(store) as work:
        ada = work.customers.get_by_id(ADA)
        assert ada is not None
        ada.mark_churned(CHURN)
        work.customers.save(ada)
        work.customers.save(customer(EVE))
        found = list(work.customers.get_all_active())
        assert details(found) == details([customer(BOB), customer(EVE)])
        assert work.customers.get_by_id(EVE) in found


def test_customer_churned_in_the_batch_is_not_active(store: Store) -> None:
    with UnitOfWork(store) as work:
        work.customers.save(customer(ADA, CHURN))
        assert list(work.customers.get_all_active()) == []


def test_sample_is_stable_and_includes_uncommitted_changes(store: Store) -> None:
    save(store, ADA, BOB)
    with UnitOfWork(store) as work:
        ada = work.customers.get_by_id(ADA)
        assert ada is not None
        ada.mark_churned(CHURN)
        work.customers.save(ada)
        assert details(work.customers.get_sample(2)) == details([customer(ADA, CHURN), customer(BOB)])
        assert any(each is ada for each in work.customers.get_sample(2))
        assert details(work.customers.get_sample(1)) == details(work.customers.get_sample(1))


# Parking


def test_parked_records_are_released_once_in_order(store: Store) -> None:
    park(store, 3, 1)
    with UnitOfWork(store) as work:
        work.parked.load({EVE, ADA})
        assert work.parked.add(early(2))
        assert [each.offset for each in work.parked.release(EVE)] == [3, 1, 2]
        assert work.parked.release(EVE) == []
        assert work.parked.release(ADA) == []
        work.commit()
    assert list(store.parked([EVE])) == []


def test_uncommitted_release_leaves_records_parked(store: Store) -> None:
    park(store, 0)
    with UnitOfWork(store) as work:
        work.parked.load({EVE})
        work.parked.release(EVE)
    assert [each.record for each in store.parked([EVE])] == [waiting(0)]


def test_same_record_is_parked_once(store: Store) -> None:
    park(store, 0)
    with UnitOfWork(store) as work:
        work.parked.load({EVE})
        assert not work.parked.add(early(0))
        assert work.parked.add(early(1))
        assert not work.parked.add(early(1))
        work.commit()
    assert [each.record.offset for each in store.parked([EVE])] == [0, 1]


def test_parked_records_are_released_to_their_customer_only(store: Store) -> None:
    with UnitOfWork(store) as work:
        work.parked.add(early(0, EVE))
        work.parked.add(early(1, BOB))
        assert [each.offset for each in work.parked.release(BOB)] == [1]
        work.commit()
    assert [each.customer_id for each in store.parked([BOB, EVE])] == [EVE]


# Positions


def test_positions_advance_past_the_last_records(store: Store) -> None:
    with UnitOfWork(store) as work:
        work.positions.advance(reached({(SIGNUPS, 0): 3, (SIGNUPS, 1): 10, (CANCELLATIONS, 0): 5}))
        work.commit()
    assert store.positions() == {(SIGNUPS, 0): 3, (SIGNUPS, 1): 10, (CANCELLATIONS, 0): 5}


def test_a_position_never_moves_back(store: Store) -> None:
    with UnitOfWork(store) as work:
        work.positions.advance(reached({(SIGNUPS, 0): 10, (CANCELLATIONS, 0): 6}))
        work.commit()
    with UnitOfWork(store) as work:
        work.positions.advance(reached({(SIGNUPS, 0): 4, (CANCELLATIONS, 0): 7}))
        work.commit()
    assert store.positions() == {(SIGNUPS, 0): 10, (CANCELLATIONS, 0): 7}


def test_next_offset_follows_the_committed_records(store: Store) -> None:
    with UnitOfWork(store) as work:
        work.positions.advance(reached({(SIGNUPS, 0): 5}))
        assert work.positions.next_offset((SIGNUPS, 0)) == 0  # not before the commit
        work.commit()
    with UnitOfWork(store) as work:
        assert work.positions.next_offset((SIGNUPS, 0)) == 5
        assert work.positions.next_offset((SIGNUPS, 1)) == 0
        assert work.positions.next_offset((CANCELLATIONS, 0)) == 0

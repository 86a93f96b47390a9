"""Filters of dead letters, in every store."""

import pytest

from tests.support.builders import CANCELLATIONS, NOON_MS, SIGNUPS, apply, customer_id, record, signup_value
from worker.settings import Topics
from worker.stores.arr_at_stake import sources
from worker.stores.dead_letters import WAITING, Filters, State
from worker.stores.port import Store


@pytest.fixture
def letters(store: Store) -> Store:
    """Return a store with ten letters, of which the last two are discarded."""
    values = [signup_value(customer_id(number), plan_tier='"platinum"') for number in range(10)]
    apply(store, [record(value, offset=number) for number, value in enumerate(values)])
    store.discard([f"{SIGNUPS}/0/{number}@{NOON_MS}" for number in (8, 9)], "test records")
    return store


@pytest.mark.parametrize(
    ("filters", "offsets"),
    [
        (Filters(), range(10)),
        (Filters(states=WAITING), range(8)),
        (Filters(states=(State.DISCARDED,)), [8, 9]),
        (Filters(states=(State.APPLIED,)), []),
        (Filters(newest=3), [7, 8, 9]),
        (Filters(newest=0), []),
        (Filters(states=WAITING, newest=3), [5, 6, 7]),
        (Filters(states=WAITING, newest=3, topic=CANCELLATIONS), []),
    ],
)
def test_letters_are_selected_by_state_and_number(letters: Store, filters: Filters, offsets: list[int]) -> None:
    with letters.view() as view:
        found = view.dead_letters(sources(Topics()), filters)
    assert [letter.offset for letter in found] == list(offsets)

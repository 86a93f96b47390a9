"""Status of the store."""

from __future__ import annotations

from collections import Counter

import msgspec

from worker.messages.record import TopicPartition
from worker.queries.query import NoParameters
from worker.settings import Settings
from worker.stores.arr_at_stake import sources
from worker.stores.dead_letters import Filters
from worker.stores.reading import StoreTotals, StoreView

MOST_LETTERS = 10_000


class StoreStatus(msgspec.Struct, frozen=True):
    """Totals, and the position of each input partition (topic, partition, next offset).

    `letters` counts the dead letters by their state, None if there are too many to examine each time. `leader` is the
    worker that publishes, if the store is shared.
    """

    totals: StoreTotals
    positions: list[tuple[str, int, int]]
    letters: dict[str, int] | None
    leader: str | None = None

    def next_offsets(self) -> dict[TopicPartition, int]:
        """Return the next offset of each input partition."""
        return {(topic, partition): offset for topic, partition, offset in self.positions}


def store_status(view: StoreView, settings: Settings, _: NoParameters) -> StoreStatus:
    """Read the status, with the positions of the current input topics."""
    positions = [
        (topic, partition, offset)
        for (topic, partition), offset in sorted(view.positions().items())
        if topic in settings.topics.inputs
    ]
    totals = view.totals()
    from_topics = sources(settings.topics)
    letters = None
    if sum(totals.outgoing.get(topic, 0) for topic in from_topics) <= MOST_LETTERS:
        letters = dict(Counter(letter.state.value for letter in view.dead_letters(from_topics, Filters())))
    return StoreStatus(totals, positions, letters, view.leader())

"""Query about churned customers in groups."""

from __future__ import annotations

from datetime import date

import msgspec

from worker.queries.query import Query
from worker.settings import Settings
from worker.stores.churn_groups import ChurnGroup, GroupBy
from worker.stores.reading import StoreView


class ChurnGroupsQuery(msgspec.Struct, frozen=True):
    """Selection of the churns from `since` to `until`, None for no limit."""

    by: GroupBy
    since: date | None = None
    until: date | None = None


def _groups(view: StoreView, _: Settings, query: ChurnGroupsQuery) -> list[ChurnGroup]:
    return view.churn_groups(query.by, query.since, query.until)


CHURN_GROUPS = Query("churn-groups", ChurnGroupsQuery, list[ChurnGroup], _groups)

"""Catalogue of all queries by their name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.queries.churn_groups import CHURN_GROUPS
from worker.queries.churns import CHURN_DAYS, CHURN_PAIRS, PUBLISHED_POSITION
from worker.queries.dead_letters import LETTER_RECORDS, LETTERS, POSITIONS
from worker.queries.explain import CustomerHistory, ExplainQuery, customer_history
from worker.queries.parked import ParkedList, ParkedQuery, list_parked
from worker.queries.parked_before import PARKED_BEFORE
from worker.queries.query import NoParameters, Query
from worker.queries.status import StoreStatus, store_status

STATUS = Query("status", NoParameters, StoreStatus, store_status)
HISTORY = Query("explain", ExplainQuery, CustomerHistory, customer_history)
PARKED = Query("parked", ParkedQuery, ParkedList, list_parked)

QUERIES: Mapping[str, Query[Any, Any]] = {
    query.name: query
    for query in (
        STATUS,
        HISTORY,
        PARKED,
        LETTERS,
        LETTER_RECORDS,
        POSITIONS,
        PUBLISHED_POSITION,
        CHURN_DAYS,
        CHURN_PAIRS,
        PARKED_BEFORE,
        CHURN_GROUPS,
    )
}

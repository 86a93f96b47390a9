"""Every question that can be asked about the store, whoever has it open: one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.queries.churns import CHURN_DAYS, CHURN_PAIRS, PUBLISHED_POSITION
from worker.queries.dead_letters import LETTER_RECORDS, LETTERS, POSITIONS
from worker.queries.explain import CustomerHistory, ExplainQuery, customer_history
from worker.queries.parked import ParkedList, ParkedQuery, list_parked
from worker.queries.parked_before import PARKED_BEFORE
from worker.queries.query import NoParameters, Question
from worker.queries.status import StoreStatus, store_status

STATUS = Question("status", NoParameters, StoreStatus, store_status)
STORY = Question("explain", ExplainQuery, CustomerHistory, customer_history)
PARKED = Question("parked", ParkedQuery, ParkedList, list_parked)

QUESTIONS: Mapping[str, Question[Any, Any]] = {
    question.name: question
    for question in (
        STATUS,
        STORY,
        PARKED,
        LETTERS,
        LETTER_RECORDS,
        POSITIONS,
        PUBLISHED_POSITION,
        CHURN_DAYS,
        CHURN_PAIRS,
        PARKED_BEFORE,
    )
}

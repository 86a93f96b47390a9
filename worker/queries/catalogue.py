"""Every question that can be asked about the store, whoever has it open: one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.queries.churns import DAYS, MARK, PAIRS
from worker.queries.dead_letters import LETTER_RECORDS, LETTERS, POSITIONS
from worker.queries.explain import Story, Whose, tell_story
from worker.queries.giving_up import WAITING_BEFORE
from worker.queries.parked import ParkedList, WhoWaits, list_parked
from worker.queries.query import Nothing, Question
from worker.queries.status import StoreStatus, store_status

STATUS = Question("status", Nothing, StoreStatus, store_status)
STORY = Question("explain", Whose, Story, tell_story)
PARKED = Question("parked", WhoWaits, ParkedList, list_parked)

QUESTIONS: Mapping[str, Question[Any, Any]] = {
    question.name: question
    for question in (STATUS, STORY, PARKED, LETTERS, LETTER_RECORDS, POSITIONS, MARK, DAYS, PAIRS, WAITING_BEFORE)
}

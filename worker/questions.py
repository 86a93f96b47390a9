"""Every question that can be asked about the store, whoever has it open: one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.churn_questions import DAYS, MARK, PAIRS
from worker.dead_letters.questions import LETTER_RECORDS, LETTERS, POSITIONS
from worker.explain import Story, Whose, tell_story
from worker.giving_up import WAITING_BEFORE
from worker.parked import ParkedList, WhoWaits, list_parked
from worker.question import Nothing, Question
from worker.status import StoreStatus, store_status

STATUS = Question("status", Nothing, StoreStatus, store_status)
STORY = Question("explain", Whose, Story, tell_story)
PARKED = Question("parked", WhoWaits, ParkedList, list_parked)

QUESTIONS: Mapping[str, Question[Any, Any]] = {
    question.name: question
    for question in (STATUS, STORY, PARKED, LETTERS, LETTER_RECORDS, POSITIONS, MARK, DAYS, PAIRS, WAITING_BEFORE)
}

"""The contract as documents: JSON Schema for each message, AsyncAPI for the whole. `messages` is authoritative.

A test compares the two: the worker accepts every value that the schemas accept.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from domain.customer import PlanTier
from worker import __version__
from worker.messages.validation import MAX_REASON_CHARACTERS
from worker.settings import Topics

_AMOUNT = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})?$"},
        {"type": "number", "minimum": 0, "maximum": 999_999_999_999},
    ]
}


def _any_case(*words: str) -> str:
    """Return a pattern for these words in any letter case: regular expressions of JSON Schema have no flag for it."""
    return f"^({'|'.join(''.join(f'[{c.lower()}{c.upper()}]' for c in word) for word in words)})$"


_DAY = {
    "type": "string",
    "description": "YYYY-MM-DD, or an RFC 3339 date-time taken as its date in UTC",
    "anyOf": [{"format": "date"}, {"format": "date-time"}],
}
_UUID = {"type": "string", "pattern": "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"}

CustomerId = Annotated[str, WithJsonSchema(_UUID)]
Day = Annotated[str, WithJsonSchema(_DAY)]
Amount = Annotated[str, WithJsonSchema(_AMOUNT)]
Tier = Annotated[str, WithJsonSchema({"type": "string", "pattern": _any_case(*PlanTier)})]


class Message(BaseModel):
    """A message. Unknown fields are ignored."""

    model_config = ConfigDict(extra="allow")


class Money(Message):
    """An amount in US dollars."""

    amount: Amount = Field(description="not negative, below 10^12; more than 6 decimals are rounded half up")
    currency: Literal["USD"]


class SignupMessage(Message):
    """A customer signed up."""

    customer_id: CustomerId
    industry: str = Field(description="any letter case; a name that is not known counts as Other")
    plan_tier: Tier
    signup_date: Day
    mrr: Money | Amount = Field(description="monthly recurring revenue; a bare amount is in USD")


class CancellationMessage(Message):
    """A customer cancelled."""

    customer_id: CustomerId
    cancellation_date: Day
    reason: Annotated[str, Field(max_length=MAX_REASON_CHARACTERS)] | None = None


class ChurnedMoney(BaseModel):
    """An amount in US dollars, as text: with two decimals, and more only if it has them."""

    amount: str = Field(pattern=r"^[0-9]+\.[0-9]{2,6}$")
    currency: Literal["USD"]


class ChurnedMessage(BaseModel):
    """A customer churned. One event per customer."""

    customer_id: UUID
    signup_date: date
    churn_date: date
    tenure_days: int = Field(ge=0)
    is_early_stage: bool
    industry: str
    plan_tier: str
    mrr: ChurnedMoney
    lost_arr: ChurnedMoney = Field(description="12 x MRR, rounded half up to cents")
    reason: str | None


MESSAGES: dict[str, type[BaseModel]] = {
    "signup": SignupMessage,
    "cancellation": CancellationMessage,
    "churned": ChurnedMessage,
}


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of `signup`, `cancellation` or `churned`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **MESSAGES[name].model_json_schema()}


def asyncapi(topics: Topics) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document: the topics, and the messages read from and written to them."""
    broker = KafkaBroker("kafka:9092")

    @broker.subscriber(topics.signup, title="signup", description="Signups of customers.")
    async def signup(message: SignupMessage) -> None: ...

    @broker.subscriber(topics.cancellation, title="cancellation", description="Cancellations, from billing.")
    async def cancellation(message: CancellationMessage) -> None: ...

    broker.publisher(
        topics.churned,
        title="churned",
        description="One event per churned customer, keyed by customer id. Requires isolation.level=read_committed.",
        schema=ChurnedMessage,
    )
    document = AsyncAPI(broker, title="customer-worker", version=__version__, schema_version="3.0.0")
    whole: dict[str, Any] = json.loads(document.to_specification().to_json())
    return whole

"""Records as the tests send them: what each customer says on the wire, and where it stands in its log."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from domain.customer import MRR, Customer, Industry, PlanTier
from worker.messages.composer import Composer
from worker.messages.inbound import Decoder
from worker.messages.message import Cancellation, Message
from worker.messages.record import Header, PlainRecord
from worker.processing.batch import BatchProcessor, BatchResult
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.port import Store

SIGNUPS = "customer.signup"
CANCELLATIONS = "customer.cancellation"
CHURNED = "customer.churned"
MAX_BYTES = 64 * 1024
ADA = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
BOB = "0b1f7a52-8f0e-4c39-8a3a-2f2f5d1f9c01"
EVE = "e0e0e0e0-0000-4000-8000-00000000000e"
NOON_MS = 1_782_820_800_000  # 2026-06-30T12:00:00Z
STRUCTURED_TYPE: list[Header] = [("content-type", b"application/cloudevents+json")]


def customer_id(number: int) -> str:
    """Return a customer's id, for tests of many customers."""
    return f"00000000-0000-4000-8000-{number:012x}"


def signup_value(who: str = ADA, /, **tokens: str | None) -> bytes:
    """Return a signup as JSON; `tokens` are fields as raw JSON, None leaves one out."""
    fields: dict[str, str | None] = {
        "customer_id": f'"{who}"',
        "industry": '"FinTech"',
        "plan_tier": '"growth"',
        "signup_date": '"2026-01-15"',
        "mrr": '{"amount": "499.00", "currency": "USD"}',
    }
    return _object(fields | tokens)


def cancellation_value(who: str = ADA, day: str = "2026-06-30", /, **tokens: str | None) -> bytes:
    """Return a cancellation as JSON; `tokens` as for `signup_value`."""
    fields: dict[str, str | None] = {"customer_id": f'"{who}"', "cancellation_date": f'"{day}"'}
    return _object(fields | tokens)


def structured_value(data: bytes | None, /, **tokens: str | None) -> bytes:
    """Return a CloudEvent in structured mode; `tokens` as for `signup_value`."""
    attributes: dict[str, str | None] = {
        "specversion": '"1.0"',
        "id": '"evt-1"',
        "source": '"/billing"',
        "type": '"customer.event"',
        "data": None if data is None else data.decode(),
    }
    return _object(attributes | tokens)


def _object(tokens: dict[str, str | None]) -> bytes:
    return ("{" + ", ".join(f'"{name}": {token}' for name, token in tokens.items() if token is not None) + "}").encode()


def record(
    value: bytes | None,
    topic: str = SIGNUPS,
    offset: int = 0,
    *,
    partition: int = 0,
    timestamp: int = NOON_MS,
    key: bytes | None = None,
    headers: Sequence[Header] = (),
) -> PlainRecord:
    """Return a record as it comes from Kafka."""
    return PlainRecord(topic, partition, offset, timestamp, key, value, list(headers))


def signup(offset: int = 0, who: str = ADA, /, **tokens: str | None) -> PlainRecord:
    """Return the record of a signup."""
    return record(signup_value(who, **tokens), SIGNUPS, offset)


def cancellation(offset: int = 0, who: str = ADA, day: str = "2026-06-30", /, **tokens: str | None) -> PlainRecord:
    """Return the record of a cancellation."""
    return record(cancellation_value(who, day, **tokens), CANCELLATIONS, offset)


def customer(customer_id: str = ADA, churn_date: date | None = None) -> Customer:
    """Return the customer that `signup_value` describes."""
    mrr = MRR(Decimal("499.00"))
    return Customer(customer_id, Industry.FINTECH, PlanTier.GROWTH, date(2026, 1, 15), mrr, churn_date)


def composer() -> Composer:
    """Return a composer of outgoing records, with the default settings."""
    return Composer(churned_topic=CHURNED, dead_letter_suffix="-dlt", group_id="customer-worker")


def batch_path() -> BatchProcessor:
    """Return the whole path of a batch, with the settings' defaults."""
    return BatchProcessor(Decoder(SIGNUPS, MAX_BYTES), composer())


def decoded(*records: PlainRecord) -> list[Message]:
    """Return the messages of the records."""
    return batch_path().read(records)


def cancelled(record: PlainRecord) -> Cancellation:
    """Return the cancellation in the record."""
    (message,) = decoded(record)
    assert isinstance(message, Cancellation), message
    return message


def apply(store: Store, records: Iterable[PlainRecord]) -> BatchResult:
    """Take the records as one committed batch."""
    with UnitOfWork(store) as work:
        result = batch_path().apply(decoded(*records), work)
        work.commit()
    return result

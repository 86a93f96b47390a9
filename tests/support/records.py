"""Records produced to and read from Kafka, as plain bytes."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["signup", "cancellation"]
Headers = tuple[tuple[str, bytes | None], ...]
Coordinates = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Message:
    """One record to produce. Without a `partition` the key decides, as the Java client would."""

    kind: Kind
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read back; `timestamp` is in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def coordinates(self) -> Coordinates:
        """The coordinates of the record, as in the journal and in dead letters."""
        return (self.topic, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of one test's topics."""

    signup: str
    cancellation: str
    churned: str

    @classmethod
    def with_prefix(cls, prefix: str) -> "Topics":
        """Names that no other test uses."""
        return cls(f"{prefix}.signup", f"{prefix}.cancellation", f"{prefix}.churned")

    @property
    def inputs(self) -> tuple[str, str]:
        """The input topics."""
        return (self.signup, self.cancellation)

    @property
    def dead_letters(self) -> tuple[str, str]:
        """The dead letter topics."""
        return (f"{self.signup}-dlt", f"{self.cancellation}-dlt")

    def of(self, kind: Kind) -> str:
        """Return the topic that takes this kind of message."""
        return self.signup if kind == "signup" else self.cancellation

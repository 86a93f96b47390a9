"""The repository of customers: a port of the domain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from domain.customer.entities import Customer


class CustomerRepository(ABC):
    """The port through which customers are read and kept; each store brings its own."""

    @abstractmethod
    def get_by_id(self, customer_id: str) -> Customer | None:
        """Return the customer with this id (lower case), or None."""

    @abstractmethod
    def get_all_active(self) -> Iterable[Customer]:
        """Yield each active customer, for batch scoring, in no particular order."""

    @abstractmethod
    def get_sample(self, n: int) -> list[Customer]:
        """`n` random customers of any status, or all where there are fewer; the same ones on every call."""

    @abstractmethod
    def save(self, customer: Customer) -> None:
        """Keep the customer as it now is, new or changed."""

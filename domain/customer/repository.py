"""The repository of customers: a port of the domain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from domain.customer.entities import Customer


class CustomerRepository(ABC):
    """The port through which customers are read and saved; each store implements it."""

    @abstractmethod
    def get_by_id(self, customer_id: str) -> Customer | None:
        """Return the customer with this id (lower case), or None."""

    @abstractmethod
    def get_all_active(self) -> Iterable[Customer]:
        """Yield each active customer, for batch scoring, in no particular order."""

    @abstractmethod
    def get_sample(self, n: int) -> list[Customer]:
        """Return `n` random customers of any status, or all if there are fewer; the same ones on every call."""

    @abstractmethod
    def save(self, customer: Customer) -> None:
        """Save the customer in its current state, new or changed."""

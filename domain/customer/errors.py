"""Errors of changes that a customer's history does not allow."""

from __future__ import annotations

from datetime import date


class CustomerError(ValueError):
    """A change that this customer's history does not allow. The customer is not changed."""

    def __init__(self, customer_id: str, message: str) -> None:
        super().__init__(message)
        self.customer_id = customer_id


class SignupConflict(CustomerError):
    """The customer signed up before, with other terms; terms never change."""

    def __init__(self, customer_id: str) -> None:
        super().__init__(customer_id, f"customer {customer_id} signed up before with other terms")


class AlreadyChurned(CustomerError):
    """The customer churned before; a customer churns once."""

    def __init__(self, customer_id: str, churn_date: date) -> None:
        super().__init__(customer_id, f"customer {customer_id} already churned on {churn_date.isoformat()}")
        self.churn_date = churn_date


class ChurnBeforeSignup(CustomerError):
    """The churn is dated before the customer signed up."""

    def __init__(self, customer_id: str, signup_date: date, churn_date: date) -> None:
        super().__init__(
            customer_id,
            f"customer {customer_id} cannot churn on {churn_date.isoformat()}, "
            f"before signing up on {signup_date.isoformat()}",
        )
        self.signup_date = signup_date
        self.churn_date = churn_date

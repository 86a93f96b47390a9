"""Effects of each message on its customer. No SQL, no Kafka, no clock."""

from __future__ import annotations

from domain.customer import AlreadyChurned, ChurnBeforeSignup, Customer, CustomerError, SignupConflict
from worker.messages.message import Cancellation, Signup
from worker.messages.rejection import Reason, Rejected
from worker.processing.outcomes import APPLIED, DUPLICATE, PARKED, Applied, Outcome
from worker.processing.unit_of_work import UnitOfWork

REJECTIONS: dict[type[CustomerError], tuple[Reason, str]] = {
    SignupConflict: (Reason.SIGNUP_CONFLICT, "the customer signed up before with other terms"),
    AlreadyChurned: (Reason.ALREADY_CHURNED, "the customer churned before, on another date"),
    ChurnBeforeSignup: (Reason.CHURN_BEFORE_SIGNUP, "cancellation_date lies before the customer's signup_date"),
}
"""The rejection of each domain error: its code, and its message for the sender."""


def handle_signup(signup: Signup, work: UnitOfWork) -> Outcome:
    """Store the customer of a first signup; reject a later one that has other terms."""
    customer = work.customers.get_by_id(signup.customer_id)
    if customer is None:
        customer = Customer.sign_up(
            signup.customer_id, signup.industry, signup.plan_tier, signup.signup_date, signup.mrr
        )
        work.customers.save(customer)
        return APPLIED
    if customer.has_terms(signup.industry, signup.plan_tier, signup.signup_date, signup.mrr):
        return DUPLICATE
    return _rejected(SignupConflict(signup.customer_id))


def handle_cancellation(cancellation: Cancellation, work: UnitOfWork) -> Outcome:
    """Churn the customer, or park the cancellation until the customer signs up."""
    customer = work.customers.get_by_id(cancellation.customer_id)
    if customer is None:
        return PARKED if work.parked.add(cancellation) else DUPLICATE
    if customer.churn_date == cancellation.cancellation_date:
        return DUPLICATE
    try:
        event = customer.mark_churned(cancellation.cancellation_date, cancellation.reason)
    except CustomerError as refusal:
        return _rejected(refusal)
    work.customers.save(customer)
    return Applied(event)


def _rejected(refusal: CustomerError) -> Rejected:
    reason, message = REJECTIONS[type(refusal)]
    return Rejected(reason, message, refusal.customer_id)

"""What each message does to its customer. No SQL, no Kafka, no clock: those are elsewhere."""

from __future__ import annotations

from domain.customer import AlreadyChurned, ChurnBeforeSignup
from worker.messages.inbound import Cancellation, Signup
from worker.messages.rejection import Reason, Rejected
from worker.processing.outcomes import APPLIED, DUPLICATE, PARKED, Applied, Outcome
from worker.processing.unit_of_work import UnitOfWork


def handle_signup(signup: Signup, work: UnitOfWork) -> Outcome:
    """A first signup makes the customer; a second one has to say the same."""
    customer = work.customers.get_by_id(signup.customer_id)
    if customer is None:
        work.customers.save(signup.customer())
        return APPLIED
    if signup.says_the_same_as(customer):
        return DUPLICATE
    return Rejected(Reason.SIGNUP_CONFLICT, "the customer signed up before with other particulars", signup.customer_id)


def handle_cancellation(cancellation: Cancellation, work: UnitOfWork) -> Outcome:
    """A cancellation ends its customer's subscription, or waits for a customer who has yet to sign up."""
    customer = work.customers.get_by_id(cancellation.customer_id)
    if customer is None:
        return PARKED if work.parked.add(cancellation) else DUPLICATE
    if customer.churn_date == cancellation.cancellation_date:
        return DUPLICATE
    try:
        event = customer.mark_churned(cancellation.cancellation_date, cancellation.reason)
    except AlreadyChurned:
        message = "the customer churned before, on another date"
        return Rejected(Reason.ALREADY_CHURNED, message, cancellation.customer_id)
    except ChurnBeforeSignup:
        message = "cancellation_date lies before the customer's signup_date"
        return Rejected(Reason.CHURN_BEFORE_SIGNUP, message, cancellation.customer_id)
    work.customers.save(customer)
    return Applied(event)

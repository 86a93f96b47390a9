"""A customer of the SaaS product: who they are, what they pay, and when they left."""

from domain.customer.entities import Customer
from domain.customer.errors import AlreadyChurned, ChurnBeforeSignup, CustomerError
from domain.customer.events import CustomerChurned
from domain.customer.repository import CustomerRepository
from domain.customer.value_objects import MRR, Industry, PlanTier

__all__ = [
    "MRR",
    "AlreadyChurned",
    "ChurnBeforeSignup",
    "Customer",
    "CustomerChurned",
    "CustomerError",
    "CustomerRepository",
    "Industry",
    "PlanTier",
]

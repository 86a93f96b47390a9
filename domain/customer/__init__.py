"""The customer of the SaaS product. Other packages import from here, not from the modules inside."""

from domain.customer.entities import EARLY_STAGE_DAYS, Customer
from domain.customer.errors import AlreadyChurned, ChurnBeforeSignup, CustomerError, SignupConflict
from domain.customer.events import CustomerChurned
from domain.customer.repository import CustomerRepository
from domain.customer.value_objects import CENT, MICRO, MRR, MRR_LIMIT, Industry, PlanTier, dollars, round_half_up

__all__ = [
    "CENT",
    "EARLY_STAGE_DAYS",
    "MICRO",
    "MRR",
    "MRR_LIMIT",
    "AlreadyChurned",
    "ChurnBeforeSignup",
    "Customer",
    "CustomerChurned",
    "CustomerError",
    "CustomerRepository",
    "Industry",
    "PlanTier",
    "SignupConflict",
    "dollars",
    "round_half_up",
]

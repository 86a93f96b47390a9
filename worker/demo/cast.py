"""Companies of the demo. Records contain their ids only, which are the same in every run."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

_COMPANIES = uuid.UUID("0f4e2c1a-7b8d-5e6f-9a0b-1c2d3e4f5a6b")


def id_of(name: str) -> str:
    """Return the customer id of a name."""
    return str(uuid.uuid5(_COMPANIES, name))


@dataclass(frozen=True, slots=True)
class Company:
    """A company that signs up; `mrr` is in dollars per month."""

    name: str
    industry: str
    plan: str
    mrr: str
    signup_date: str

    @property
    def id(self) -> str:
        """Customer id."""
        return id_of(self.name)

    @property
    def arr(self) -> Decimal:
        """Dollars per year, rounded to cents: calculated without the worker's code."""
        return (Decimal(self.mrr) * 12).quantize(Decimal("0.01"), ROUND_HALF_UP)


HARBOR = Company("Harbor Ledger", "FinTech", "growth", "499.00", "2026-01-15")
KESTREL = Company("Kestrel Bank", "FinTech", "enterprise", "12400.00", "2024-09-02")
WILLOW = Company("Willow Clinics", "HealthTech", "growth", "899.50", "2025-11-20")
DOCKET = Company("Docket & Co", "LegalTech", "starter", "49.00", "2026-04-01")
PEOPLEWISE = Company("Peoplewise", "HR Tech", "growth", "349.00", "2026-02-10")
CHALKLINE = Company("Chalkline", "EdTech", "starter", "83.333333", "2025-03-31")
FERN = Company("Fern Insurance", "InsurTech", "enterprise", "5250.75", "2025-06-18")
BRICKFIELD = Company("Brickfield", "PropTech", "growth", "629.99", "2025-12-05")
CORNER = Company("Corner Shop Cloud", "RetailTech", "free", "0.00", "2026-05-30")
TIDEWATER = Company("Tidewater Labs", "SpaceTech", "custom", "31000.00", "2025-01-27")
JUNIPER = Company("Juniper Payroll", "HR Tech", "growth", "275.40", "2026-06-01")

FIRST_TEN = (HARBOR, KESTREL, WILLOW, DOCKET, PEOPLEWISE, CHALKLINE, FERN, BRICKFIELD, CORNER, TIDEWATER)
UNKNOWN_CUSTOMER = "Marigold Health"
"""Cancels without ever signing up."""

NAMES = {company.id: company.name for company in (*FIRST_TEN, JUNIPER)} | {id_of(UNKNOWN_CUSTOMER): UNKNOWN_CUSTOMER}

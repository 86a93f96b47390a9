"""Churned customers in groups: by the month of the churn, by industry, by plan tier."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from domain.customer import EARLY_STAGE_DAYS


class GroupBy(StrEnum):
    """The attribute that churns are grouped by; `month` is that of the churn date."""

    MONTH = "month"
    INDUSTRY = "industry"
    PLAN_TIER = "plan_tier"


class ChurnGroup(msgspec.Struct, frozen=True):
    """The churned customers of one group. `key` is the month as `YYYY-MM`, the industry or the plan tier.

    `lost_arr` is in dollars per year; `early_stage` are the customers who churned in the early stage.
    """

    key: str
    customers: int
    lost_arr: Decimal
    early_stage: int


_KEYS = {
    GroupBy.MONTH: "left(CAST(customers.churn_date AS VARCHAR), 7)",
    GroupBy.INDUSTRY: "industry",
    GroupBy.PLAN_TIER: "plan_tier",
}
# ARR is defined by the view, the early stage by the domain. The period limits both sides of the join, before it.
_GROUPS = """
SELECT
    {key} AS key, count(*), CAST(sum(arr) AS VARCHAR),
    count(*) FILTER (WHERE customers.churn_date - customers.signup_date <= {early_stage_days})
FROM customers JOIN customer_arr ON customer_arr.customer_id = customers.customer_id
WHERE customers.churn_date BETWEEN {since} AND {until} AND customer_arr.churn_date BETWEEN {since} AND {until}
GROUP BY 1 ORDER BY 1
"""


def grouped(by: GroupBy, placeholder: str) -> str:
    """Return the statement for both databases; `placeholder` is that of a named parameter, such as `$name`."""
    names = ("since", "until")
    return _GROUPS.format(
        key=_KEYS[by],
        early_stage_days=EARLY_STAGE_DAYS,
        **{name: placeholder.replace("name", name) for name in names},
    )


def period(since: date | None, until: date | None) -> dict[str, date]:
    """Return the parameters of the statement; None is the first or the last day that a date can have."""
    return {"since": since or date.min, "until": until or date.max}


def groups(rows: Iterable[tuple[Any, ...]]) -> list[ChurnGroup]:
    """Decode the rows of the statement."""
    return [ChurnGroup(key, customers, Decimal(arr), early_stage) for key, customers, arr, early_stage in rows]

"""The order of plan tiers, and the industries."""

import itertools

import pytest

from domain.customer import Industry, PlanTier

LADDER = [PlanTier.FREE, PlanTier.STARTER, PlanTier.GROWTH, PlanTier.ENTERPRISE, PlanTier.CUSTOM]


def test_the_tiers_are_those_of_the_contract() -> None:
    assert [tier.value for tier in PlanTier] == ["free", "starter", "growth", "enterprise", "custom"]


def test_a_tier_is_its_name() -> None:
    assert PlanTier("growth") is PlanTier.GROWTH
    assert str(PlanTier.GROWTH) == "growth"
    with pytest.raises(ValueError, match="platinum"):
        PlanTier("platinum")


@pytest.mark.parametrize(("lower", "higher"), list(itertools.combinations(LADDER, 2)))
def test_tier_is_below_every_higher_tier(lower: PlanTier, higher: PlanTier) -> None:
    assert lower < higher
    assert lower <= higher
    assert higher > lower
    assert higher >= lower
    assert not higher < lower
    assert not lower > higher
    assert not higher <= lower
    assert not lower >= higher


@pytest.mark.parametrize("tier", LADDER)
def test_a_tier_is_neither_below_nor_above_itself(tier: PlanTier) -> None:
    same = PlanTier(tier.value)
    assert tier <= same
    assert tier >= same
    assert not tier < same
    assert not tier > same


def test_free_is_the_lowest_tier_and_custom_the_highest() -> None:
    assert max(PlanTier) is PlanTier.CUSTOM
    assert min(PlanTier) is PlanTier.FREE
    assert sorted([*LADDER[2:], *LADDER[:2]]) == LADDER
    assert [tier.step for tier in LADDER] == [0, 1, 2, 3, 4]


def test_the_industries_are_those_of_the_contract() -> None:
    assert [industry.value for industry in Industry] == [
        "FinTech", "HealthTech", "LegalTech", "HR Tech", "EdTech", "InsurTech", "PropTech", "RetailTech", "Other",
    ]  # fmt: skip


def test_an_industry_is_its_name() -> None:
    assert Industry("HR Tech") is Industry.HR_TECH
    assert str(Industry.FINTECH) == "FinTech"

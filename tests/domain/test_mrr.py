"""MRR is exact, in US dollars, never negative, and independent of the caller's decimal context."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from decimal import ROUND_DOWN, Context, Decimal, localcontext

import pytest

from domain.customer import CENT, MICRO, MRR, dollars, round_half_up


@pytest.fixture(params=["the usual context", "three digits, rounding down"])
def _any_decimal_context(request: pytest.FixtureRequest) -> Iterator[None]:
    with localcontext(Context(prec=3, rounding=ROUND_DOWN) if request.param.startswith("three") else None):
        yield


def mrr(text: str) -> MRR:
    return MRR(Decimal(text))


@pytest.mark.parametrize("amount", ["0", "0.00", "0.000001", "499.00", "999999999999.999999"])
def test_any_amount_from_zero_up_is_a_revenue(amount: str) -> None:
    assert mrr(amount).amount == Decimal(amount)


@pytest.mark.parametrize("amount", ["-0.000001", "-1", "-Infinity", "Infinity", "NaN", "-NaN", "sNaN"])
def test_a_negative_or_unreal_amount_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="MRR is"):
        mrr(amount)


@pytest.mark.parametrize("amount", [499, 499.0, "499.00", True, None])
def test_amount_that_is_no_decimal_is_refused(amount: object) -> None:
    with pytest.raises(TypeError, match=r"MRR\.from_float"):
        MRR(amount)  # type: ignore[arg-type]


def test_a_revenue_never_changes() -> None:
    with pytest.raises(FrozenInstanceError):
        mrr("499.00").amount = Decimal(1)  # type: ignore[misc]


def test_revenues_are_equal_by_amount() -> None:
    assert mrr("499") == mrr("499.000000")
    assert hash(mrr("499")) == hash(mrr("499.000000"))
    assert mrr("499.00") != mrr("499.01")


@pytest.mark.parametrize(
    ("monthly", "yearly"),
    [
        ("499.00", "5988.00"),
        ("83.333333", "1000.00"),
        ("0.000416", "0.00"),
        ("0.000417", "0.01"),  # 0.005004
        ("0.00125", "0.02"),  # 0.015, a half, away from zero
        ("0.002083", "0.02"),  # 0.024996
        ("0.00375", "0.05"),  # 0.045: half to even would say 0.04
        ("0", "0.00"),
        ("999999999999.999999", "12000000000000.00"),
        ("999999999999.99", "11999999999999.88"),
    ],
)
@pytest.mark.usefixtures("_any_decimal_context")
def test_arr_is_twelve_months_rounded_half_up_to_cents(monthly: str, yearly: str) -> None:
    assert str(mrr(monthly).annual) == yearly


@pytest.mark.parametrize(
    ("probability", "at_risk"),
    [(0, "0"), (0.0, "0"), (1, "499.00"), (0.1, "49.900"), (0.25, "124.75"), (Decimal("0.333"), "166.167")],
    ids=str,
)
@pytest.mark.usefixtures("_any_decimal_context")
def test_revenue_at_risk_is_the_revenue_times_the_probability(probability: float | Decimal, at_risk: str) -> None:
    assert mrr("499.00").revenue_at_risk(probability) == Decimal(at_risk)


@pytest.mark.parametrize("probability", [-0.01, 1.01, -1, 2, float("nan"), float("inf"), Decimal("1.0000001")], ids=str)
def test_a_probability_outside_zero_to_one_is_refused(probability: float | Decimal) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        mrr("499.00").revenue_at_risk(probability)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("499", "$499.00"),
        ("0", "$0.00"),
        ("0.005", "$0.01"),
        ("0.004999", "$0.00"),
        ("1234567.891", "$1,234,567.89"),
        ("999999999999.999999", "$1,000,000,000,000.00"),
        ("-0", "$0.00"),
    ],
)
@pytest.mark.usefixtures("_any_decimal_context")
def test_as_text_a_revenue_is_dollars_and_cents(amount: str, text: str) -> None:
    assert str(mrr(amount)) == text


def test_arr_is_formatted_as_dollars_and_cents() -> None:
    assert dollars(mrr("499.00").annual) == "$5,988.00"


@pytest.mark.parametrize(
    ("amount", "exact"),
    [(499.0, "499"), (0.1, "0.1"), (83.333333, "83.333333"), (19.9999995, "20.000000"), (1e-7, "0"), (1e11, "1e11")],
    ids=str,
)
@pytest.mark.usefixtures("_any_decimal_context")
def test_float_is_read_as_printed_and_rounded_half_up(amount: float, exact: str) -> None:
    assert MRR.from_float(amount).amount == Decimal(exact)


@pytest.mark.parametrize("amount", [-1.0, -0.01, float("nan"), float("inf"), float("-inf")], ids=str)
def test_a_float_that_is_negative_or_unreal_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="MRR is"):
        MRR.from_float(amount)


def test_negative_float_is_refused_even_if_it_rounds_to_zero() -> None:
    with pytest.raises(ValueError, match="negative"):
        MRR.from_float(-1e-9)


@pytest.mark.parametrize(
    ("amount", "cents", "micros"),
    [
        ("0.005", "0.01", "0.005000"),
        ("0.015", "0.02", "0.015000"),
        ("0.0000005", "0.00", "0.000001"),
        ("0.0000004", "0.00", "0.000000"),
        ("2.675", "2.68", "2.675000"),
    ],
)
@pytest.mark.usefixtures("_any_decimal_context")
def test_halves_are_rounded_away_from_zero(amount: str, cents: str, micros: str) -> None:
    assert str(round_half_up(Decimal(amount), CENT)) == cents
    assert str(round_half_up(Decimal(amount), MICRO)) == micros

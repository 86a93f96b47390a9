"""Every form that the contract's tables accept or reject."""

import base64
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from domain.customer import MRR, CustomerChurned, Industry, PlanTier
from tests.support.builders import (
    ADA,
    CANCELLATIONS,
    MAX_BYTES,
    SIGNUPS,
    STRUCTURED_TYPE,
    cancellation,
    cancellation_value,
    record,
    signup,
    signup_value,
    structured_value,
)
from worker.messages.churned_event import encode_churned, shown
from worker.messages.cloudevents import caused_by
from worker.messages.inbound import Decoder
from worker.messages.message import Cancellation, Message, Refused, Signup
from worker.messages.record import Header, PlainRecord
from worker.messages.rejection import Reason, Rejected

DECODER = Decoder(SIGNUPS, MAX_BYTES)
MARK = "zq7never"
"""Stands in refused values: no message about a rejection may repeat it."""


def decoded(value: bytes | None, topic: str = SIGNUPS, headers: Sequence[Header] = ()) -> Message:
    return DECODER.decode(record(value, topic, headers=headers))


def terms(message: Message) -> tuple[Any, ...]:
    """Return the fields of a signup that its value decides."""
    assert isinstance(message, Signup), message
    return message.customer_id, message.industry, message.plan_tier, message.signup_date, message.mrr


def accepted_signup(**tokens: str | None) -> Signup:
    message = decoded(signup_value(**tokens))
    assert isinstance(message, Signup), message
    return message


def accepted_cancellation(**tokens: str | None) -> Cancellation:
    message = decoded(cancellation_value(**tokens), CANCELLATIONS)
    assert isinstance(message, Cancellation), message
    return message


def refused(value: bytes | None, topic: str = SIGNUPS, headers: Sequence[Header] = ()) -> Rejected:
    message = decoded(value, topic, headers)
    assert isinstance(message, Refused), message
    assert MARK not in message.rejected.message
    assert message.rejected.message
    return message.rejected


def by_name(cases: dict[str, Any]) -> dict[str, Any]:
    return {"argvalues": list(cases.values()), "ids": list(cases)}


# Whole messages


def test_signup_of_the_contract_is_decoded() -> None:
    received = signup(5)
    assert DECODER.decode(received) == Signup(
        received,
        5,
        len(received.value or b""),
        is_redriven=False,
        customer_id=ADA,
        industry=Industry.FINTECH,
        plan_tier=PlanTier.GROWTH,
        signup_date=date(2026, 1, 15),
        mrr=MRR(Decimal("499.00")),
        is_industry_known=True,
    )


def test_cancellation_of_the_contract_is_decoded() -> None:
    received = cancellation(5, reason='"too_expensive"')
    assert DECODER.decode(received) == Cancellation(
        received,
        5,
        len(received.value or b""),
        is_redriven=False,
        customer_id=ADA,
        cancellation_date=date(2026, 6, 30),
        reason="too_expensive",
        timestamp=received.timestamp,
        event_headers=caused_by(received, received.topic_partition),
    )


@pytest.mark.parametrize("note", **by_name({
    "a text": '"x"', "a number": "1e5", "an object": '{"mrr": "-1"}', "a list": "[1, [2]]", "null": "null",
    "a number beyond every float": "1e400", "an integer of 100 digits": "9" * 100,
}))  # fmt: skip
@pytest.mark.parametrize("mrr", ['{"amount": "499.00", "currency": "USD"}', "499"], ids=["usual", "number"])
def test_unknown_fields_are_ignored(note: str, mrr: str) -> None:
    assert terms(accepted_signup(note=note, mrr=mrr)) == terms(accepted_signup())
    assert accepted_cancellation(note=note).customer_id == ADA


@pytest.mark.parametrize("note", **by_name({
    "an integer of 5,000 digits": "9" * 5000, "an exponent beyond every decimal": "1e99999999999999999999",
    "an exponent below every decimal": "1e-99999999999999999999",
}))  # fmt: skip
@pytest.mark.parametrize("mrr", ['{"amount": "499.00", "currency": "USD"}', "499"], ids=["usual", "number"])
def test_unknown_field_with_a_huge_number_is_ignored(note: str, mrr: str) -> None:
    assert terms(accepted_signup(note=note, mrr=mrr)) == terms(accepted_signup())


def test_last_of_repeated_fields_counts_in_every_spelling() -> None:
    twice = b'{"customer_id": "x", "industry": 1, "mrr": null, ' + signup_value()[1:]
    assert terms(decoded(twice)) == terms(accepted_signup())
    assert terms(decoded(b'{"mrr": {"amount": "1", "currency": "EUR"}, ' + signup_value()[1:])) == terms(
        accepted_signup()
    )


def test_a_signup_may_carry_white_space_and_escapes() -> None:
    value = b" \r\n\t" + signup_value(industry=r'"Fin\u0054ech"').replace(b",", b" ,\n") + b" \n"
    assert terms(decoded(value)) == terms(accepted_signup())


# customer_id


@pytest.mark.parametrize("text", **by_name({
    "lower case": ADA, "upper case": ADA.upper(), "both": ADA[:18].upper() + ADA[18:], "nil": "0" * 8 + ADA[8:],
    "of no known version": "ffffffff-ffff-ffff-ffff-ffffffffffff",
}))  # fmt: skip
def test_a_uuid_in_any_letter_case_is_kept_in_lower_case(text: str) -> None:
    assert accepted_signup(customer_id=f'"{text}"').customer_id == text.lower()
    assert accepted_cancellation(customer_id=f'"{text}"').customer_id == text.lower()


REFUSED_IDS = {
    "missing": None, "null": "null", "a number": "42", "true": "true", "a list": f'["{ADA}"]', "an object": "{}",
    "empty": '""', "a word": f'"{MARK}"', "without hyphens": f'"{ADA.replace("-", "")}"', "in braces": f'"{{{ADA}}}"',
    "as a URN": f'"urn:uuid:{ADA}"', "a space before": f'" {ADA}"', "a space behind": f'"{ADA} "',
    "a line break behind": rf'"{ADA}\n"', "a NUL behind": rf'"{ADA}\u0000"', "too short": f'"{ADA[:-1]}"',
    "too long": f'"{ADA}7"', "a letter beyond f": f'"{ADA[:-1]}g"',
    "other groups": f'"{ADA.replace("-4c8b", "4-c8b")}"',
    "Arabic digits": f'"\u0666{ADA[1:]}"', "fullwidth letters": f'"\uff46{ADA[1:]}"',
    "underscores": f'"{ADA.replace("-", "_")}"',
}  # fmt: skip


@pytest.mark.parametrize("token", **by_name(REFUSED_IDS))
def test_customer_id_in_another_form_is_refused(token: str | None) -> None:
    for rejected in (
        refused(signup_value(customer_id=token)),
        refused(cancellation_value(customer_id=token), CANCELLATIONS),
    ):
        assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, None)
        assert "customer_id" in rejected.message


# industry


@pytest.mark.parametrize("industry", Industry)
@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase], ids=["as is", "lower", "upper", "swapped"])
def test_an_industry_is_known_in_any_letter_case(industry: Industry, spell: Any) -> None:
    signup = accepted_signup(industry=f'"{spell(industry.value)}"')
    assert (signup.industry, signup.is_industry_known) == (industry, True)


@pytest.mark.parametrize("name", **by_name({
    "a new one": "SpaceTech", "empty": "", "a space behind": "FinTech ", "without its space": "HRTech",
    "not ASCII": "F\u0131ntech", "a NUL": r"\u0000", "a long one": "x" * 10_000,
}))  # fmt: skip
def test_an_unknown_industry_counts_as_other(name: str) -> None:
    signup = accepted_signup(industry=f'"{name}"')
    assert (signup.industry, signup.is_industry_known) == (Industry.OTHER, False)


@pytest.mark.parametrize("token", **by_name({
    "missing": None, "null": "null", "a number": "7", "a decimal": "7.5", "true": "true", "a list": f'["{MARK}"]',
    "an object": f'{{"{MARK}": 1}}',
}))  # fmt: skip
def test_an_industry_that_is_no_string_is_refused(token: str | None) -> None:
    rejected = refused(signup_value(industry=token))
    assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, ADA)
    assert "industry" in rejected.message


# plan_tier


@pytest.mark.parametrize("tier", PlanTier)
@pytest.mark.parametrize("spell", [str, str.upper, str.capitalize], ids=["as is", "upper", "capitalized"])
def test_a_plan_tier_is_known_in_any_letter_case(tier: PlanTier, spell: Any) -> None:
    assert accepted_signup(plan_tier=f'"{spell(tier.value)}"').plan_tier is tier


@pytest.mark.parametrize("name", ["platinum", "", "growth ", " growth", "gröwth", r"growth\n", r"growth\u0000", MARK])
def test_an_unknown_plan_tier_is_refused_as_such(name: str) -> None:
    rejected = refused(signup_value(plan_tier=f'"{name}"'))
    assert (rejected.reason, rejected.customer_id) == (Reason.UNKNOWN_PLAN_TIER, ADA)
    assert "plan_tier" in rejected.message


@pytest.mark.parametrize("token", **by_name({
    "missing": None, "null": "null", "a number": "1", "false": "false", "a list": '["growth"]', "an object": "{}",
}))  # fmt: skip
def test_a_plan_tier_that_is_no_string_is_invalid(token: str | None) -> None:
    rejected = refused(signup_value(plan_tier=token))
    assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, ADA)
    assert "plan_tier" in rejected.message


# Dates


@pytest.mark.parametrize(("text", "day"), **by_name({
    "a date": ("2026-01-15", date(2026, 1, 15)),
    "a leap day": ("2024-02-29", date(2024, 2, 29)),
    "the first day": ("0001-01-01", date(1, 1, 1)),
    "the last day": ("9999-12-31", date(9999, 12, 31)),
    "in UTC": ("2026-01-15T10:00:00Z", date(2026, 1, 15)),
    "in small letters": ("2026-01-15t10:00:00z", date(2026, 1, 15)),
    "with a space, as RFC 3339 lets people": ("2026-01-15 10:00:00Z", date(2026, 1, 15)),
    "with a fraction": ("2026-01-15T10:00:00.123Z", date(2026, 1, 15)),
    "with nanoseconds": ("2026-01-15T10:00:00.123456789Z", date(2026, 1, 15)),
    "just before midnight": ("2026-01-15T23:59:59.999999999Z", date(2026, 1, 15)),
    "at midnight": ("2026-01-15T00:00:00Z", date(2026, 1, 15)),
    "tomorrow in UTC": ("2026-01-15T23:30:00-01:00", date(2026, 1, 16)),
    "yesterday in UTC": ("2026-01-15T00:30:00+01:00", date(2026, 1, 14)),
    "far east": ("2026-01-15T13:59:59+14:00", date(2026, 1, 14)),
    "the largest offset": ("2026-01-15T00:00:00-23:59", date(2026, 1, 15)),
    "an unknown offset": ("2026-01-15T10:00:00-00:00", date(2026, 1, 15)),
    "a leap second": ("2016-12-31T23:59:60Z", date(2016, 12, 31)),
    "a leap second elsewhere": ("2016-12-31T15:59:60-08:00", date(2016, 12, 31)),
    "the last second, from the west": ("9999-12-31T22:59:59-01:00", date(9999, 12, 31)),
}))  # fmt: skip
def test_date_time_is_read_as_its_date_in_utc(text: str, day: date) -> None:
    for _ in range(2):  # the second time it is known
        assert accepted_signup(signup_date=f'"{text}"').signup_date == day
        assert accepted_cancellation(cancellation_date=f'"{text}"').cancellation_date == day


REFUSED_DATES = {
    "missing": None, "null": "null", "a number": "20260115", "seconds": "1768435200", "a decimal": "1768435200.5",
    "true": "true", "a list": "[2026, 1, 15]", "an object": '{"year": 2026}', "empty": '""', "a word": f'"{MARK}"',
    "without hyphens": '"20260115"', "a week": '"2026-W03-4"', "a day of the year": '"2026-015"',
    "a month": '"2026-01"', "a year": '"2026"', "one digit": '"2026-1-5"', "slashes": '"2026/01/15"',
    "day first": '"15.01.2026"', "American": '"01/15/2026"', "five digits of year": '"12026-01-15"',
    "signed": '"+2026-01-15"', "30 February": '"2026-02-30"', "29 February of a common year": '"2026-02-29"',
    "29 February 1900": '"1900-02-29"', "month 13": '"2026-13-01"', "month 0": '"2026-00-10"',
    "day 0": '"2026-01-00"', "day 32": '"2026-01-32"', "year 0": '"0000-01-01"', "a space before": '" 2026-01-15"',
    "a space behind": '"2026-01-15 "', "a line break behind": r'"2026-01-15\n"', "a NUL behind": r'"2026-01-15\u0000"',
    "Arabic digits": '"\u0662\u0660\u0662\u0666-\u0660\u0661-\u0661\u0665"',
    "fullwidth digits": '"\uff12\uff10\uff12\uff16-01-15"', "no offset": '"2026-01-15T10:00:00"',
    "no seconds": '"2026-01-15T10:00Z"', "hour 24": '"2026-01-15T24:00:00Z"', "minute 60": '"2026-01-15T10:60:00Z"',
    "second 61": '"2026-01-15T10:00:61Z"', "an offset without colon": '"2026-01-15T10:00:00+0100"',
    "an offset of hours": '"2026-01-15T10:00:00+01"', "offset 24:00": '"2026-01-15T10:00:00+24:00"',
    "an offset of 60 minutes": '"2026-01-15T10:00:00+01:60"', "Z on a date": '"2026-01-15Z"',
    "a comma in the fraction": '"2026-01-15T10:00:00,5Z"', "no fraction behind the point": '"2026-01-15T10:00:00.Z"',
    "an impossible date-time": '"2026-02-30T10:00:00Z"', "a zone by name": '"2026-01-15T10:00:00 UTC"',
    "after the last day in UTC": '"9999-12-31T23:59:59-01:00"',
    "before the first in UTC": '"0001-01-01T00:30:00+01:00"',
    "an underscore for T": '"2026-01-15_10:00:00Z"', "as mail has it": '"Thu, 15 Jan 2026 10:00:00 GMT"',
    "today": '"today"',
}  # fmt: skip


@pytest.mark.parametrize("token", **by_name(REFUSED_DATES))
def test_date_in_another_form_is_refused(token: str | None) -> None:
    for field, rejected in {
        "signup_date": refused(signup_value(signup_date=token)),
        "cancellation_date": refused(cancellation_value(cancellation_date=token), CANCELLATIONS),
    }.items():
        assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, ADA)
        assert field in rejected.message


# mrr

AMOUNTS = {
    "cents": ("499.00", "499"), "no decimals": ("499", "499"),
    "nothing": ("0", "0"), "nothing, in cents": ("0.00", "0"),
    "less than nothing that is nothing": ("-0", "0"), "six decimals": ("83.333333", "83.333333"),
    "half up": ("0.0000005", "0.000001"), "below half": ("0.00000049999999", "0"),
    "half up, not to even": ("0.0000025", "0.000003"), "many decimals": ("1." + "3" * 500, "1.333333"),
    "the largest": ("999999999999.999999", "999999999999.999999"),
    "rounded down to the largest": ("999999999999.9999994", "999999999999.999999"),
    "what a float would lose": ("123456789012.345678", "123456789012.345678"),
    "one tenth": ("0.1", "0.1"), "an exponent": ("4.99e2", "499"), "a tiny one": ("1e-999999999", "0"),
    "tinier than any Decimal": ("1e-99999999999999999999", "0"), "nothing, hugely": ("0e99999999999999999999", "0"),
    "nothing, tinily": ("-0.0E-99999999999999999999", "0"), "zeros in an exponent": (f"5e{'0' * 5000}2", "500"),
}  # fmt: skip


@pytest.mark.parametrize("wrap",
    ['{{"amount": "{0}", "currency": "USD"}}', '"{0}"', "{0}", '{{"amount": {0}, "currency": "USD"}}'],
                         ids=["in an object", "a string", "a number", "a number in an object"])  # fmt: skip
@pytest.mark.parametrize(("text", "amount"), **by_name(AMOUNTS))
def test_amount_is_a_decimal_rounded_half_up_to_six_places(text: str, amount: str, wrap: str) -> None:
    read = accepted_signup(mrr=wrap.format(text)).mrr.amount
    assert read == Decimal(amount)
    assert not read.is_signed()


def test_leading_zeros_are_a_decimal_string_but_no_json_number() -> None:
    assert accepted_signup(mrr='"00499.00"').mrr == MRR(Decimal(499))
    assert refused(signup_value(mrr="00499.00")).reason is Reason.MALFORMED


REFUSED_AMOUNTS = {
    "negative": "-1.00", "negative by little": "-0.000001", "negative by less than is kept": "-0.0000001",
    "NaN": "NaN", "nan": "nan", "signalling": "sNaN", "Infinity": "Infinity", "-Infinity": "-Infinity", "inf": "inf",
    "underscore": "1_000", "comma": "1,000.00", "decimal comma": "499,00", "Arabic digits": "\u0664\u0669\u0669",
    "fullwidth digits": "\uff14\uff19\uff19", "superscript": "4²",
    "empty": "", "a space": " ", "a word": MARK, "dollars": "$499.00",
    "hexadecimal": "0x1F3", "a space inside": "1 000", "a space before": " 499", "a space behind": "499 ",
    "a line break behind": r"499\n", "two points": "4.9.9", "a point only": ".", "no whole part": ".5",
    "no fraction": "499.", "signed": "+499", "10^12": "1000000000000", "10^12 by rounding": "999999999999.9999995",
    "10^12 by exponent": "1e12", "a NUL": r"499\u0000", "5,000 digits": "9" * 5000, "huge": "1e999999999",
    "beyond every decimal": "1e99999999999999999999", "a negative one": "-1e-99999999999999999999",
    "a bare exponent": "e5", "no exponent": "1e",
}  # fmt: skip


@pytest.mark.parametrize("wrap", ['{{"amount": "{0}", "currency": "USD"}}', '"{0}"'], ids=["in an object", "a string"])
@pytest.mark.parametrize("text", **by_name(REFUSED_AMOUNTS))
def test_invalid_amount_as_text_is_refused(text: str, wrap: str) -> None:
    rejected = refused(signup_value(mrr=wrap.format(text)))
    assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, ADA)
    assert "mrr" in rejected.message


@pytest.mark.parametrize("wrap", ["{0}", '{{"amount": {0}, "currency": "USD"}}'], ids=["bare", "in an object"])
@pytest.mark.parametrize("token", **by_name({
    "-1": "-1", "-0.01": "-0.01", "-1e-9": "-1e-9", "10^12": "1000000000000", "1e12": "1e12",
    "10^12 by rounding": "999999999999.9999995", "30 digits": "9" * 30, "1e400": "1e400", "huge": "1e999999999",
    "5,000 digits": "9" * 5000, "beyond every decimal": "1e99999999999999999999", "true": "true", "false": "false",
    "null": "null", "a list": '["499.00"]',
}))  # fmt: skip
def test_invalid_amount_as_number_is_refused(token: str, wrap: str) -> None:
    rejected = refused(signup_value(mrr=wrap.format(token)))
    assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, ADA)
    assert "mrr" in rejected.message


@pytest.mark.parametrize("token", **by_name({
    "missing": None, "an empty object": "{}", "no currency": '{"amount": "499.00"}', "no amount": '{"currency": "USD"}',
    "a currency of null": '{"amount": "1", "currency": null}',
    "a currency of a number": '{"amount": "1", "currency": 840}',
    "an object for an amount": '{"amount": {}, "currency": "USD"}',
}))  # fmt: skip
def test_money_that_lacks_a_part_is_invalid(token: str | None) -> None:
    rejected = refused(signup_value(mrr=token))
    assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, ADA)
    assert "mrr" in rejected.message


@pytest.mark.parametrize("currency", ["EUR", "usd", "USD ", "", "US", "USDT", MARK])
@pytest.mark.parametrize("amount", ['"499.00"', "499"], ids=["a string", "a number"])
def test_another_currency_is_refused_as_such(currency: str, amount: str) -> None:
    rejected = refused(signup_value(mrr=f'{{"amount": {amount}, "currency": "{currency}"}}'))
    assert (rejected.reason, rejected.customer_id) == (Reason.UNSUPPORTED_CURRENCY, ADA)
    assert "mrr" in rejected.message


# reason


@pytest.mark.parametrize(("token", "reason"), **by_name({
    "absent": (None, None), "null": ("null", None), "empty": ('""', ""), "usual": ('"too_expensive"', "too_expensive"),
    "200 characters": ('"' + "x" * 200 + '"', "x" * 200), "200 wide characters": ('"' + "😀" * 200 + '"', "😀" * 200),
    "odd ones": (r'"\u0000\n<b>"', "\0\n<b>"),
}))  # fmt: skip
def test_reason_is_kept_unchanged(token: str | None, reason: str | None) -> None:
    assert accepted_cancellation(reason=token).reason == reason


@pytest.mark.parametrize("token", **by_name({
    "201 characters": '"' + MARK.ljust(201, "x") + '"', "a number": "1", "true": "true", "a list": f'["{MARK}"]',
    "an object": f'{{"text": "{MARK}"}}',
}))  # fmt: skip
def test_a_reason_that_is_too_long_or_no_string_is_refused(token: str) -> None:
    rejected = refused(cancellation_value(reason=token), CANCELLATIONS)
    assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, ADA)
    assert "reason" in rejected.message


# Values that hold no message

DEEP = "[" * 30_000 + "]" * 30_000
MALFORMED = {
    "no bytes": b"", "white space": b" \r\n", "a word": MARK.encode(), "an array": b"[" + signup_value() + b"]",
    "an empty array": b"[]", "a text": f'"{MARK}"'.encode(), "a number": b"1", "null": b"null", "true": b"true",
    "cut short": signup_value()[:-1], "two objects": signup_value() * 2, "something behind": signup_value() + b" x",
    "a NUL behind": signup_value() + b"\0", "a comma too many": signup_value()[:-1] + b",}",
    "a comment": b"/**/" + signup_value(), "single quotes": signup_value().replace(b'"', b"'"),
    "byte order mark": b"\xef\xbb\xbf" + signup_value(), "UTF-16": signup_value().decode().encode("utf-16"),
    "Latin-1 in a field": signup_value(industry='"Caf@"').replace(b"@", b"\xe9"),
    "Latin-1 in a field nobody reads": signup_value(note='"Caf@"').replace(b"@", b"\xe9"),
    "overlong UTF-8": signup_value(note='"@"').replace(b"@", b"\xc0\xaf"),
    "surrogates in UTF-8": signup_value(note='"@"').replace(b"@", b"\xed\xa0\x80"),
    "a lone surrogate": signup_value(industry=r'"\ud800"'),
    "a lone surrogate in a field nobody reads": signup_value(note=r'"\udc00"'),
    "NaN": signup_value(mrr="NaN"), "Infinity": signup_value(mrr="Infinity"),
    "-Infinity": signup_value(mrr="-Infinity"),
    "NaN in a field nobody reads": signup_value(note="NaN"), "a bare point": signup_value(mrr="499."),
    "a plus": signup_value(mrr="+499"), "an underscore": signup_value(mrr="1_000"),
    "a control character in a text": signup_value(industry='"Fin\nTech"'),
    "deep": DEEP.encode(), "deep in a field": signup_value(mrr=DEEP),
    "deep in a field nobody reads": signup_value(note=DEEP),
    "deep objects": signup_value(note='{"a":' * 10_000 + "1" + "}" * 10_000), "Avro": b"\0\0\0\0\x07" + signup_value(),
    "protocol buffers": b"\n$" + ADA.encode(),
}  # fmt: skip


@pytest.mark.parametrize("value", **by_name(MALFORMED))
@pytest.mark.parametrize("topic", [SIGNUPS, CANCELLATIONS])
def test_value_that_is_no_json_object_is_malformed(value: bytes, topic: str) -> None:
    assert refused(value, topic).reason is Reason.MALFORMED


@pytest.mark.parametrize("topic", [SIGNUPS, CANCELLATIONS])
def test_a_tombstone_is_empty(topic: str) -> None:
    assert refused(None, topic).reason is Reason.EMPTY


def test_value_above_the_size_limit_is_too_large() -> None:
    value = signup_value()
    assert isinstance(decoded(value + b" " * (MAX_BYTES - len(value))), Signup)
    rejected = refused(value + b" " * (MAX_BYTES - len(value) + 1))
    assert rejected.reason is Reason.TOO_LARGE
    assert "65537" in rejected.message
    assert "65536" in rejected.message


def test_value_that_is_too_large_is_not_parsed() -> None:
    assert refused(b"[" * 10_000_000).reason is Reason.TOO_LARGE


@pytest.mark.parametrize(("value", "topic"),
    [(cancellation_value(), SIGNUPS), (signup_value(), CANCELLATIONS), (b"{}", SIGNUPS)],
                         ids=["a cancellation as a signup",
                             "a signup as a cancellation", "an empty object"])  # fmt: skip
def test_a_message_on_the_wrong_topic_lacks_its_fields(value: bytes, topic: str) -> None:
    rejected = refused(value, topic)
    assert rejected.reason is Reason.INVALID
    assert "is missing" in rejected.message


@pytest.mark.parametrize(
    "key", [None, b"", b"\xff\x00", b"other", ADA.encode()], ids=["none", "empty", "bytes", "other", "same"]
)
def test_the_key_does_not_count(key: bytes | None) -> None:
    assert terms(DECODER.decode(record(signup_value(), key=key))) == terms(accepted_signup())


ODD_HEADERS: dict[str, list[Header]] = {
    "null": [("content-type", None), ("ce_id", None)],
    "bytes that are no text": [("ce_id", b"\xff"), ("content-type", b"\xff\xfe"), ("\udcff", b"")],
    "repeated": [("x", b"1"), ("x", b"2"), ("content-type", b"text/plain"), ("content-type", b"")],
    "reply_to": [("reply_to", b"customer.churned"), ("correlation_id", b"1")],
    "JSON": [("content-type", b"application/json; charset=utf-8")],
    "lies about the encoding": [("content-type", b"application/json; charset=utf-16"), ("content-encoding", b"gzip")],
    "a batch of events": [("content-type", b"application/cloudevents-batch+json")],
    "another version": [("ce_specversion", b"0.3"), ("ce_type", b"else")],
}


@pytest.mark.parametrize("headers", **by_name(ODD_HEADERS))
def test_no_header_but_the_structured_content_type_counts(headers: list[Header]) -> None:
    assert terms(decoded(signup_value(), headers=headers)) == terms(accepted_signup())


def test_topic_decides_the_kind_of_a_record() -> None:
    decoder = Decoder("eu.signups", MAX_BYTES)
    assert isinstance(decoder.decode(record(signup_value(), "eu.signups")), Signup)
    assert isinstance(decoder.decode(record(cancellation_value(), "eu.cancellations")), Cancellation)


# Structured mode


def test_a_structured_event_reads_like_its_data() -> None:
    assert terms(decoded(structured_value(signup_value()), headers=STRUCTURED_TYPE)) == terms(accepted_signup())
    message = decoded(structured_value(cancellation_value()), CANCELLATIONS, STRUCTURED_TYPE)
    assert isinstance(message, Cancellation)
    assert message.record().value == structured_value(cancellation_value())


def test_bad_field_of_a_structured_event_is_named() -> None:
    rejected = refused(structured_value(signup_value(mrr=f'"{MARK}"')), headers=STRUCTURED_TYPE)
    assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, ADA)
    assert "mrr" in rejected.message


JSON_TYPE: list[Header] = [("content-type", b"application/json")]


@pytest.mark.parametrize("headers", [[], JSON_TYPE], ids=["no content type", "the data's content type"])
def test_event_without_its_content_type_reads_like_its_data(headers: list[Header]) -> None:
    assert terms(decoded(structured_value(signup_value()), headers=headers)) == terms(accepted_signup())
    encoded = base64.b64encode(signup_value()).decode()
    assert terms(decoded(structured_value(None, data_base64=f'"{encoded}"'), headers=headers)) == terms(
        accepted_signup()
    )
    assert isinstance(decoded(structured_value(cancellation_value()), CANCELLATIONS, headers), Cancellation)
    rejected = refused(structured_value(signup_value(mrr=f'"{MARK}"')), headers=headers)
    assert (rejected.reason, rejected.customer_id) == (Reason.INVALID, ADA)


def test_invalid_event_without_its_content_type_is_malformed() -> None:
    assert refused(structured_value(b"null")).message == "the CloudEvent has no data"
    other_version = structured_value(signup_value(), specversion='"0.3"')
    assert refused(other_version).message == "the CloudEvents specversion is not 1.0"
    assert refused(structured_value(structured_value(signup_value()))).message == "customer_id is missing"


def test_incomplete_event_without_its_content_type_is_bare_json() -> None:
    rejected = refused(structured_value(signup_value(), source=None))
    assert (rejected.reason, rejected.message) == (Reason.INVALID, "customer_id is missing")


def test_bare_message_with_structured_content_type_is_malformed() -> None:
    assert refused(signup_value(), headers=STRUCTURED_TYPE).reason is Reason.MALFORMED


# What counts as the same


SAME = {
    "letter case": {"customer_id": f'"{ADA.upper()}"', "industry": '"FINTECH"', "plan_tier": '"Growth"'},
    "a number": {"mrr": "499"},
    "more decimals": {"mrr": '"499.0000000001"'},
    "a date-time": {"signup_date": '"2026-01-15T23:59:59Z"'},
    "another day elsewhere": {"signup_date": '"2026-01-16T00:30:00+01:00"'},
}
OTHER = {
    "industry": {"industry": '"Other"'},
    "tier": {"plan_tier": '"starter"'},
    "date": {"signup_date": '"2026-01-16"'},
    "amount": {"mrr": '"499.000001"'},
}


@pytest.mark.parametrize("tokens", **by_name(SAME))
def test_signups_in_different_spellings_are_equal(tokens: dict[str, str]) -> None:
    assert terms(accepted_signup(**tokens)) == terms(accepted_signup())


@pytest.mark.parametrize("tokens", **by_name(OTHER))
def test_signups_that_differ_in_one_field_are_different(tokens: dict[str, str]) -> None:
    assert accepted_signup(**tokens) != accepted_signup()


# Churned


def churned(amount: str = "499.00", reason: str | None = "too_expensive") -> CustomerChurned:
    return CustomerChurned(
        ADA, date(2026, 1, 15), date(2026, 6, 30), 166, False,
        Industry.FINTECH, PlanTier.GROWTH, MRR(Decimal(amount)), MRR(Decimal(amount)).annual, reason
    )  # fmt: skip


def test_churn_is_encoded_as_in_the_contract() -> None:
    assert json.loads(encode_churned(churned())) == {
        "customer_id": ADA, "signup_date": "2026-01-15", "churn_date": "2026-06-30", "tenure_days": 166,
        "is_early_stage": False, "industry": "FinTech", "plan_tier": "growth",
        "mrr": {"amount": "499.00", "currency": "USD"}, "lost_arr": {"amount": "5988.00", "currency": "USD"},
        "reason": "too_expensive",
    }  # fmt: skip


def test_missing_reason_is_encoded_as_null() -> None:
    assert json.loads(encode_churned(churned(reason=None)))["reason"] is None


@pytest.mark.parametrize(("amount", "mrr", "arr"), [
    ("83.333333", "83.333333", "1000.00"), ("499", "499.00", "5988.00"), ("499.5", "499.50", "5994.00"),
    ("0", "0.00", "0.00"), ("0E-6", "0.00", "0.00"),
    ("0.000001", "0.000001", "0.00"), ("499.100000", "499.10", "5989.20"),
    ("1.2345", "1.2345", "14.81"), ("999999999999.999999", "999999999999.999999", "12000000000000.00"),
    ("100000000000", "100000000000.00", "1200000000000.00"), ("1E+3", "1000.00", "12000.00"),
])  # fmt: skip
def test_amounts_have_at_least_two_decimals(amount: str, mrr: str, arr: str) -> None:
    written = json.loads(encode_churned(churned(amount)))
    assert (written["mrr"]["amount"], written["lost_arr"]["amount"]) == (mrr, arr)
    assert shown(Decimal(amount)) == mrr


def test_any_reason_survives_as_json() -> None:
    reason = '"\\\0\n😀</script>'
    assert json.loads(encode_churned(churned(reason=reason)))["reason"] == reason


def test_builders_make_records_of_their_topics() -> None:
    assert isinstance(signup(3), PlainRecord)
    assert (signup(3).topic, signup(3).offset) == (SIGNUPS, 3)

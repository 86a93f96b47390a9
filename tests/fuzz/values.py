"""Values of records: JSON objects in any order and spelling, with members repeated, unknown, missing or nested."""

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz.amounts import odd_money
from tests.fuzz.dates import odd_date
from tests.fuzz.dice import Dice
from tests.fuzz.fields import NO_TEXTS, odd_id, odd_industry, odd_reason, odd_tier
from tests.fuzz.texts import any_text, spelled
from tests.support.reading import INDUSTRIES, PLAN_TIERS
from tests.support.records import Kind

FIRST_DAY = dt.date(2023, 1, 1)
_REASONS = [None, None, "too_expensive", "missing_feature", "moved", "für immer", "🚀"]


class Customer(NamedTuple):
    """A customer as records describe it, before it is spelled. `amount` is its MRR, `left_after` days from signup."""

    customer_id: str
    industry: str
    plan_tier: str
    signup_date: dt.date
    amount: str
    left_after: int
    reason: str | None


def any_customer(dice: Dice) -> Customer:
    """Return a customer whom no other record describes."""
    digits = f"{dice.bits(128):032x}"
    decimals = dice.pick((0, 1, 2, 2, 2, 2, 4, 6))
    amount = str(dice.below(10 ** dice.pick((1, 3, 4, 12))))
    return Customer(
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}",
        dice.pick(INDUSTRIES) if dice.chance(0.98) else "Beekeeping",
        dice.pick(PLAN_TIERS),
        FIRST_DAY + dt.timedelta(days=dice.below(1_300)),
        f"{amount}.{dice.digits(decimals)}" if decimals else amount,
        dice.pick((0, 89, 90, 91, dice.below(900))),
        dice.pick(_REASONS),
    )


Members = list[tuple[str, str]]
"""Names and values of an object's members, as JSON tokens."""

_FIELDS: dict[Kind, dict[str, Callable[[Dice, Customer], str]]] = {
    "signup": {
        '"customer_id"': lambda dice, who: odd_id(dice, who.customer_id),
        '"industry"': lambda dice, who: odd_industry(dice, who.industry),
        '"plan_tier"': lambda dice, who: odd_tier(dice, who.plan_tier),
        '"signup_date"': lambda dice, who: odd_date(dice, who.signup_date),
        '"mrr"': lambda dice, who: odd_money(dice, who.amount),
    },
    "cancellation": {
        '"customer_id"': lambda dice, who: odd_id(dice, who.customer_id),
        '"cancellation_date"': lambda dice, who: odd_date(dice, left_on(who)),
        '"reason"': lambda dice, who: odd_reason(dice, who.reason),
    },
}


_CHANGED: dict[Kind, list[str]] = {
    "signup": [*_FIELDS["signup"], '"mrr"', '"mrr"', '"mrr"', '"signup_date"'],
    "cancellation": [*_FIELDS["cancellation"], '"cancellation_date"', '"reason"'],
}
"""The fields to be changed: those with more forms more often."""


def left_on(who: Customer) -> dt.date:
    """Return the day on which the customer leaves."""
    return who.signup_date + dt.timedelta(days=who.left_after)


def usual_members(kind: Kind, who: Customer) -> Members:
    """Return the members of a message in the spelling of a usual producer."""
    if kind == "signup":
        return [
            ('"customer_id"', f'"{who.customer_id}"'),
            ('"industry"', f'"{who.industry}"'),
            ('"plan_tier"', f'"{who.plan_tier}"'),
            ('"signup_date"', f'"{who.signup_date}"'),
            ('"mrr"', f'{{"amount": "{who.amount}", "currency": "USD"}}'),
        ]
    members = [('"customer_id"', f'"{who.customer_id}"'), ('"cancellation_date"', f'"{left_on(who)}"')]
    return members if who.reason is None else [*members, ('"reason"', f'"{who.reason}"')]


def odd_members(dice: Dice, kind: Kind, who: Customer) -> Members:
    """Return the members with some of them in any form, missing, repeated, unknown, or in another order."""
    members = usual_members(kind, who)
    fields = _FIELDS[kind]
    for _ in range(dice.pick((0, 1, 1, 1, 1, 2))):
        name = dice.pick(_CHANGED[kind])
        members = [(each, fields[name](dice, who) if each == name else token) for each, token in members]
    for change in (_missing, _repeated, _unknown, _renamed):
        if dice.chance(0.12):
            members = change(dice, members, fields, who)
    return dice.shuffled(members) if dice.chance(0.3) else members


Fields = dict[str, Callable[[Dice, Customer], str]]


def _missing(dice: Dice, members: Members, _: Fields, __: Customer) -> Members:
    place = dice.below(len(members))
    return members[:place] + members[place + 1 :]


def _repeated(dice: Dice, members: Members, fields: Fields, who: Customer) -> Members:
    """Repeat a member, with the same value or another one: the last one counts."""
    name, token = dice.pick(members)
    again = (name, token if dice.chance(0.3) else fields[name](dice, who) if name in fields else "null")
    place = dice.below(len(members) + 1)
    return [*members[:place], again, *members[place:]]


def _unknown(dice: Dice, members: Members, _: Fields, __: Customer) -> Members:
    names = ['"note"', '"is_industry_known"', '""', '"Customer_id"', '"data"', '"specversion"', '"id"']
    name = dice.pick(names) if dice.chance(0.7) else spelled(dice, any_text(dice))
    place = dice.below(len(members) + 1)
    return [*members[:place], (name, any_token(dice)), *members[place:]]


def _renamed(dice: Dice, members: Members, _: Fields, __: Customer) -> Members:
    """Spell a name in another way, mostly the same name."""
    place = dice.below(len(members))
    name, token = members[place]
    escaped = "".join([rf"\u{ord(each):04x}" if dice.chance(0.2) else each for each in name[1:-1]])
    other = dice.pick(
        (f'"{escaped}"', f'"{escaped}"', f'"{name[1:-1].upper()}"', f'"{name[1:-1]} "', f'"{name[1:-1]}\\u0000"')
    )
    return [*members[:place], (other, token), *members[place + 1 :]]


_TOKENS = [
    *NO_TEXTS,
    "1e5",
    "-0",
    "01",
    ".5",
    "1.",
    "+1",
    "-",
    "1e",
    "0x1",
    "Infinity",
    "-Infinity",
    "nul",
    "'x'",
    "True",
]
_TOKENS += [
    '"x',
    r'"\x"',
    r'"\u12g4"',
    r'"\ud800"',
    r'"\ud83d\ude80"',
    '"\t"',
    "[1,]",
    "[,1]",
    '{"a":1,}',
    '{"a"}',
    "[1 2]",
]
_TOKENS += [
    '{"a" 1}',
    "{1: 2}",
    "/**/1",
    "[[[]]]",
    "9" * 400,
    "-" + "9" * 30,
    "1e-9999999999",
    "0." + "1" * 900,
    "\x00",
]
_DEPTHS = [
    1,
    2,
    5,
    20,
    62,
    63,
    64,
    65,
    120,
    125,
    126,
    127,
    128,
    129,
    130,
    200,
    300,
    800,
    950,
    990,
    1000,
    1030,
    2000,
    9000,
]


def any_token(dice: Dice) -> str:
    """Return the value of a member that nobody reads: any JSON, or nearly JSON."""
    match dice.below(6):
        case 0 | 1:
            return dice.pick(_TOKENS)
        case 2:
            return nested(dice, dice.pick(_DEPTHS))
        case 3:
            return spelled(dice, any_text(dice))
        case 4:
            parts = [
                dice.pick(_TOKENS) if dice.chance(0.1) else dice.pick(("1", "null", "[]")) for _ in range(dice.below(5))
            ]
            return f"[{', '.join(parts)}]"
    names = [spelled(dice, any_text(dice)) for _ in range(dice.below(4))]
    return "{" + ", ".join([f"{name}: {dice.pick(('1', '[{}]', 'null'))}" for name in names]) + "}"


def nested(dice: Dice, depth: int) -> str:
    """Return so many arrays or objects inside each other, rarely one bracket too few or too many."""
    opening, closing = dice.pick((("[", "]"), ("[", "]"), ('{"a":', "}"), ('[{"":', "}]"), ('["[{",', "]")))
    inside = (
        dice.pick(("", "1", "{}", '"]"')) if opening[0] == "[" and opening[-1] != ":" else dice.pick(("1", "{}", "[]"))
    )
    inside = "1" if opening.endswith(",") and not inside else inside
    return opening * depth + inside + closing * (depth + dice.pick((0,) * 12 + (1, -1)))


_SPACES = [" ", "", "", "\n", "\t", "\r\n", "  "]


def joined(members: Members) -> str:
    """Write an object as a usual producer does."""
    return "{" + ", ".join([f"{name}: {token}" for name, token in members]) + "}"


def joined_oddly(dice: Dice, members: Members) -> str:
    """Write an object with any white space, rarely with what is none."""
    space = (
        dice.pick(_SPACES)
        if dice.chance(0.95)
        else dice.pick(["\x0b", "\x0c", "\xa0", "\ufeff", "\0", "/**/", "\u2028"])
    )
    middle = f"{dice.pick(_SPACES)}:{space}"
    between = f"{dice.pick(_SPACES)},{dice.pick(_SPACES)}"
    return f"{space}{{{space}{between.join([f'{name}{middle}{token}' for name, token in members])}{space}}}{space}"

"""Ids, names and reasons as JSON tokens: other spellings of the same value, and what is refused."""

from collections.abc import Callable

from tests.fuzz.dice import Dice
from tests.fuzz.texts import altered, any_text, spelled
from tests.support.reading import INDUSTRIES, PLAN_TIERS

NO_TEXTS = ["null", "true", "false", "7", "-0.5", "1e400", "[]", "{}", '["growth"]', '{"a": 1}', '""', "NaN", "tru", ""]


_FRAMES = ["{%s}", "urn:uuid:%s", " %s", "%s\n", "%s%s", "(%s)"]
_SEPARATORS = ["", "_", " ", "--", "\u2010"]
_IDS: list[Callable[[Dice, str], str]] = [
    *[lambda dice, each: "".join([dice.pick((letter.upper(), letter)) for letter in each])] * 3,
    lambda _, each: each,
    lambda dice, each: each.replace("-", dice.pick(_SEPARATORS)),
    lambda dice, each: dice.pick(_FRAMES).replace("%s", each),
    lambda dice, _: "-".join(dice.pick("0fF") * size for size in (8, 4, 4, 4, 12)),
    lambda dice, _: any_text(dice),
    lambda dice, each: each[(cut := dice.below(37)) :] + each[:cut],
    *[altered] * 2,
]


def odd_id(dice: Dice, customer_id: str) -> str:
    """Return the token of a customer id in any form."""
    return dice.pick(NO_TEXTS) if dice.chance(0.08) else spelled(dice, dice.pick(_IDS)(dice, customer_id))


def cased(dice: Dice, text: str) -> str:
    """Return the text in other letters."""
    return dice.pick((text.upper(), text.lower(), text.swapcase(), text.title()))


def odd_industry(dice: Dice, industry: str) -> str:
    """Return the token of an industry in any form."""
    match dice.below(6):
        case 0 | 1:
            return spelled(dice, cased(dice, industry))
        case 2:
            return spelled(dice, any_text(dice))
        case 3:
            return dice.pick(NO_TEXTS)
        case 4:
            return spelled(dice, dice.pick(INDUSTRIES))
        case _:
            return spelled(dice, altered(dice, industry))


def odd_tier(dice: Dice, tier: str) -> str:
    """Return the token of a plan tier in any form."""
    match dice.below(6):
        case 0 | 1:
            return spelled(dice, cased(dice, tier))
        case 2:
            return spelled(dice, dice.pick([*PLAN_TIERS, "platinum", "", "Growth ", "gröwth"]))
        case 3:
            return dice.pick(NO_TEXTS)
        case 4:
            return spelled(dice, any_text(dice))
        case _:
            return spelled(dice, altered(dice, tier))


def odd_reason(dice: Dice, reason: str | None) -> str:
    """Return the token of a reason in any form."""
    if dice.chance(0.2):
        return dice.pick(NO_TEXTS)
    return spelled(dice, altered(dice, reason or "") if dice.chance(0.3) else any_text(dice))

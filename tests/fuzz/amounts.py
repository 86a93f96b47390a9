"""Amounts as JSON tokens: numbers and texts in every spelling, alone or with a currency."""

from tests.fuzz.dice import Dice
from tests.fuzz.fields import NO_TEXTS
from tests.fuzz.texts import alien_digit, altered, spelled

_WHOLES = [
    "0",
    "0",
    "00",
    "1",
    "7",
    "42",
    "499",
    "0499",
    "9" * 11,
    "9" * 12,
    "1" + "0" * 12,
    "0" * 30 + "5",
    "1" * 13,
    "",
]
_DECIMALS = [
    "",
    "",
    ".0",
    ".00",
    ".5",
    ".000000",
    ".0000005",
    ".0000004999999",
    ".00000050000001",
    ".999999",
    ".9999994",
]
_DECIMALS += [".9999995", ".", ".1234567", "." + "3" * 400, "." + "0" * 400 + "1", ".000000" + "5" * 30]
_EXPONENTS = [
    "",
    "",
    "",
    "",
    "e0",
    "E+2",
    "e-3",
    "e12",
    "E11",
    "e-6",
    "e-7",
    "e13",
    "e400",
    "e-400",
    "e+007",
    "e",
    "e+",
    "e-",
]
_EXPONENTS += [
    "e999999999",
    "e-999999999",
    "e" + "9" * 20,
    "e-" + "9" * 20,
    "e" + "0" * 30 + "2",
    "e1.5",
    "e" + "9" * 4400,
]
_STRANGE_NUMBERS = [
    "NaN",
    "nan",
    "sNaN",
    "Infinity",
    "-Infinity",
    "inf",
    "1_000",
    "1,000.00",
    "499,00",
    "$5",
    "0x1F",
    "1/2",
]
_STRANGE_NUMBERS += ["4²", "--1", "+-1", "1e5e5", "1.2.3", "True", "", " ", "٤٩٩", "½", "一", "1__0", "0b1", "1e٣"]


def odd_number(dice: Dice, amount: str) -> str:
    """Return a number in any form, mostly a decimal number."""
    match dice.below(12):
        case 0 | 1 | 2:
            return same_amount(dice, amount)
        case 3:
            return altered(dice, amount)
        case 4:
            return dice.pick(_STRANGE_NUMBERS)
        case 5:
            return alien_digit(dice, amount)
        case 6:
            return dice.digits(dice.pick((1, 5, 12, 13, 18, 40))) + dice.pick(_EXPONENTS)
    sign = dice.pick(("", "", "", "", "-", "+")) if dice.chance(0.5) else ""
    number = f"{sign}{dice.pick(_WHOLES)}{dice.pick(_DECIMALS)}{dice.pick(_EXPONENTS)}"
    if dice.chance(0.002):
        number += dice.pick("09") * dice.pick((5_000, 60_000, 65_300))
    return number


def same_amount(dice: Dice, amount: str) -> str:
    """Return another spelling of the amount, also one with an exponent."""
    whole, _, decimals = amount.partition(".")
    match dice.below(4):
        case 0:
            return f"{whole}.{decimals or '0'}{'0' * dice.below(9)}"
        case 1:
            return f"{whole}{decimals}{dice.pick('eE')}-{len(decimals):0{1 + dice.below(3)}}"
        case 2:
            return f"0.{whole}{decimals}{dice.pick('eE')}{dice.pick(('', '+'))}{len(whole)}"
        case _:
            return f"{'0' * dice.below(4)}{amount}"


def odd_money(dice: Dice, amount: str) -> str:
    """Return the token of an MRR in any form."""
    number = odd_number(dice, amount) if dice.chance(0.7) else amount
    token = number if dice.chance(0.4) else spelled(dice, number)
    match dice.below(8):
        case 0 | 1:
            return token
        case 2:
            return dice.pick(NO_TEXTS)
        case 3 | 4:
            currency = dice.pick(['"USD"', '"USD"', '"usd"', '"EUR"', '"USD "', "null", "1", '""', r'"\u0055SD"', "[]"])
            members = [f'"amount": {token}', f'"currency": {currency}']
            extra = dice.pick(
                ['"x": 1', '"amount": "7"', '"currency": "USD"', '"currency": 7', '"amount": [1]', '"": {}']
            )
            members = [*members, extra] if dice.chance(0.5) else members[: dice.below(3)]
            return "{" + ",".join(dice.shuffled(members)) + "}"
    return f'{{"amount": {token}, "currency": "USD"}}'

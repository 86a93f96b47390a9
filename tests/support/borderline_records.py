"""Records at the borders of what the contract accepts, as JSON text: the same ones in each run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random

from domain.customer import PlanTier

CUSTOMER = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
ENDINGS = ["\n", "\r", "\r\n", "\u2028", "\u0085", " ", "\0", "\t", "x", "\ud800"]
TEXTS = [
    "",
    "FinTech",
    "fintech",
    "é",
    "日本",
    "\U0001f600",
    "\ud83d",
    "\udc00\ud83d",
    "\0",
    "\ufffe",
    "\uffff",
    "\x7f",
    "\ue000",
]
NO_TEXTS = ["null", "true", "7", "-0.5", "[]", "{}", '["growth"]']


def borderline_records(count: int) -> Iterator[tuple[str, str]]:
    """Yield the name of a message, and a record of it: most fields are accepted, one or two are near a border."""
    random = Random(20260115)
    for _ in range(count):
        name = random.choice(["signup", "signup", "cancellation"])
        fields = {field: usual(random) for field, (usual, _) in FIELDS[name].items()}
        for field in random.sample(sorted(fields), random.choice([1, 1, 1, 2])):
            fields[field] = FIELDS[name][field][1](random)
        members = [f"{json.dumps(field)}: {value}" for field, value in fields.items() if value]
        members += _unknown(random)
        random.shuffle(members)
        yield name, "{" + ", ".join(members) + "}"


def _unknown(random: Random) -> list[str]:
    if random.random() < 0.9:
        return []
    text = json.dumps(random.choice(TEXTS))
    return [
        random.choice([f'"x": {text}', f"{text or 1}: 1", f'"x": [{{"y": {text}}}, 1e5]', f'"x": {{{text}: null}}'])
    ]


def _odd(random: Random, text: str) -> str:
    """Spell a text as it is, with something after or before it, or with one character changed; or replace it."""
    match random.randrange(10):
        case 0:
            return json.dumps(text + random.choice(ENDINGS))
        case 1:
            return json.dumps(random.choice(ENDINGS) + text)
        case 2 if text:
            at = random.randrange(len(text))
            return json.dumps(text[:at] + random.choice("0129-+.:TZe g\u0663\uff12\u017f\u212a") + text[at + 1 :])
        case 3 if text:
            at = random.randrange(len(text))
            return json.dumps(text[:at] + text[at + 1 :])
        case 4:
            return random.choice(["", *NO_TEXTS])
    return json.dumps(text)


def _customer_id(random: Random) -> str:
    forms = [CUSTOMER, CUSTOMER.upper(), CUSTOMER.replace("-", ""), f"{{{CUSTOMER}}}", f"urn:uuid:{CUSTOMER}", ""]
    return _odd(random, random.choice([CUSTOMER, CUSTOMER.title(), *forms]))


def _plan_tier(random: Random) -> str:
    word = random.choice([*PlanTier, "platinum", ""])
    return _odd(random, "".join(random.choice([letter.lower(), letter.upper()]) for letter in word))


def _date(random: Random) -> str:
    year = random.choice([0, 1, 1, 4, 100, 400, 1900, 2000, 2023, 2024, 2026, 2100, 9999, 9999])
    month_and_day = random.choice(
        ["01-01", "12-31", "02-28", "02-29", "02-30", "04-30", "04-31", "00-10", "13-10", "06-00"]
    )
    if year in {1, 9999} and random.random() < 0.8:
        month_and_day = "01-01" if year == 1 else "12-31"
    text = f"{year:04}-{month_and_day}"
    if random.random() < 0.75:
        text += random.choice("TTTt _") + _time(random) + random.choice(["", "", ".0", ".123456789012", "."])
        text += random.choice(["Z", "z", "", "-0100", "+01"]) if random.random() < 0.3 else _offset(random)
    return _odd(random, text)


def _time(random: Random) -> str:
    hour = random.choice([0, 0, 1, 9, 10, 13, 19, 22, 23, 24, random.randrange(24)])
    minute = random.choice([0, 1, 9, 10, 30, 59, 60, random.randrange(60)])
    return f"{hour:02}:{minute:02}" + random.choice([":00", ":00", ":59", ":60", ":61", ""])


def _offset(random: Random) -> str:
    hour = random.choice([0, 0, 1, 9, 10, 13, 14, 19, 22, 23, 24, random.randrange(24)])
    minute = random.choice([0, 1, 9, 10, 30, 58, 59, 60, random.randrange(60)])
    return f"{random.choice('+-')}{hour:02}:{minute:02}"


def _digits(random: Random) -> str:
    whole = random.choice(["0", "00", "1", "499", "9" * 11, "9" * 12, "1" + "0" * 12, "0" * 9 + "9" * 12, "1" * 13])
    decimals = ["", "", ".0", ".00", ".5", ".9999994", ".9999995", ".9999999", ".000000" + "5" * 30, ".", ".1234567"]
    return random.choice(["", "", "", "-", "+"]) + whole + random.choice(decimals)


def _exponent(random: Random) -> str:
    if random.random() < 0.6:
        return ""
    number = random.choice(["0", "3", "03", "9", "10", "11", "12", "13", "99", "100", "400", "9" * 20, ""])
    return random.choice("eE") + random.choice(["", "+", "-"]) + number


def _amount(random: Random) -> str:
    text = _digits(random) + _exponent(random)
    try:
        json.loads(text)
        is_number = True
    except ValueError:
        is_number = False
    return text if is_number and random.random() < 0.4 else _odd(random, text)


def _mrr(random: Random) -> str:
    if random.random() < 0.5:
        return _amount(random)
    currency = random.choice(['"USD"'] * 6 + ['"usd"', '"EUR"', '"USD\\n"', "null", "", "1"])
    members = (
        [f'"amount": {_amount(random) or 1}'] + ([f'"currency": {currency}'] if currency else []) + _unknown(random)
    )
    return "{" + ", ".join(members) + "}"


def _reason(random: Random) -> str:
    text = random.choice(TEXTS)
    return _odd(random, random.choice([text, "x" * 199, "x" * 200, "x" * 201, "\U0001f600" * 200, "é" * 201]))


Write = Callable[[Random], str]
_DAYS: tuple[Write, Write] = (lambda _: '"2026-01-15"', _date)
_IDS: tuple[Write, Write] = (lambda _: json.dumps(CUSTOMER), _customer_id)
FIELDS: dict[str, dict[str, tuple[Write, Write]]] = {
    "signup": {
        "customer_id": _IDS,
        "industry": (lambda _: '"FinTech"', lambda random: _odd(random, random.choice(TEXTS))),
        "plan_tier": (lambda _: '"growth"', _plan_tier),
        "signup_date": _DAYS,
        "mrr": (lambda _: '{"amount": "499.00", "currency": "USD"}', _mrr),
    },
    "cancellation": {"customer_id": _IDS, "cancellation_date": _DAYS, "reason": (lambda _: "null", _reason)},
}
"""How each field is written: as usual, and near a border. Empty text leaves it out."""

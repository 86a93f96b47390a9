"""Structured events around a payload, whole or with attributes missing, null, repeated, escaped or of another kind."""

import base64
from collections.abc import Callable

from tests.fuzz.dates import any_day, instant
from tests.fuzz.dice import Dice
from tests.fuzz.texts import any_text, spelled
from tests.fuzz.values import Members, any_token, joined, joined_oddly


def usual_event(kind: str, serial: int) -> Members:
    """Return the attributes of a structured event, as a usual producer writes them."""
    members: Members = [
        ('"specversion"', '"1.0"'),
        ('"id"', f'"{kind}-{serial}"'),
        ('"source"', '"/billing"'),
        ('"type"', f'"customer.{kind}"'),
    ]
    return [*members, ('"time"', f'"2026-11-01T00:00:{serial % 60:02}Z"')] if serial % 2 else members


def odd_event(dice: Dice, kind: str, serial: int, data: str) -> str:
    """Return a structured event around the data, with attributes of any form, or as it should be."""
    members = usual_event(kind, serial)
    if dice.chance(0.15):
        encoded = base64.b64encode(data.encode("utf-8", "surrogatepass")).decode()
        members.append(('"data_base64"', f'"{encoded}"'))
    else:
        members.append(('"data"', data))
    if dice.chance(0.5):
        return joined(members)
    for _ in range(dice.pick((1, 1, 1, 2, 3))):
        members = dice.pick(_EVENT_CHANGES)(dice, members)
    return joined(members) if dice.chance(0.5) else joined_oddly(dice, dice.shuffled(members))


def _attribute(dice: Dice, members: Members) -> Members:
    name = dice.pick(
        ('"time"', '"correlationid"', '"traceparent"', '"tracestate"', '"id"', '"subject"', '"datacontenttype"')
    )
    if name == '"time"' and dice.chance(0.6):
        return [*members, (name, spelled(dice, instant(dice, any_day(dice))))]
    return [*members, (name, spelled(dice, any_text(dice)) if dice.chance(0.6) else any_token(dice))]


_VERSIONS = ['"1.0"', '"0.3"', '"1"', '"1.0 "', "1.0", r'"\u0031.0"', '""', "null"]
_DATA = [
    "null",
    "{}",
    "[]",
    '"x"',
    "7",
    '""',
    '"!!!"',
    '"e30="',
    '"e30"',
    '"e30=\\n"',
    '"e30=e30="',
    '"e31="',
    '"\u00e9"',
    '"//79"',
    "{",
]


def _revalue_member(dice: Dice, members: Members) -> Members:
    place = dice.below(len(members))
    name, _ = members[place]
    token = dice.pick(_VERSIONS) if name == '"specversion"' else dice.pick(_DATA) if "data" in name else any_token(dice)
    return [*members[:place], (name, token), *members[place + 1 :]]


def _remove_member(dice: Dice, members: Members) -> Members:
    place = dice.below(len(members)) if members else 0
    return members[:place] + members[place + 1 :]


def _escape_name(dice: Dice, members: Members) -> Members:
    if not members:
        return members
    place = dice.below(len(members))
    name, token = members[place]
    escaped = "".join([rf"\u{ord(each):04x}" if dice.chance(0.3) else each for each in name[1:-1]])
    return [*members[:place], (f'"{escaped}"', token), *members[place + 1 :]]


def _add_data(dice: Dice, members: Members) -> Members:
    return [*members, (dice.pick(('"data"', '"data_base64"')), dice.pick(_DATA))]


_EVENT_CHANGES: list[Callable[[Dice, Members], Members]] = [
    *[_attribute] * 4,
    lambda dice, members: _revalue_member(dice, members) if members else members,
    _remove_member,
    _escape_name,
    _add_data,
    lambda dice, members: [*members, ('"customer_id"', any_token(dice))],
]

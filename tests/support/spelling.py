"""JSON written by hand, field by field, so that a record can be spelled in ways no encoder would choose."""

import json
from collections.abc import Mapping

GOOD_SIGNUP = {
    "industry": '"FinTech"',
    "plan_tier": '"growth"',
    "signup_date": '"2026-01-15"',
    "mrr": '{"amount": "499.00", "currency": "USD"}',
}
GOOD_CANCELLATION = {"cancellation_date": '"2026-06-30"', "reason": '"too_expensive"'}


def spelled(fields: Mapping[str, str | None]) -> bytes:
    """Encode an object whose values are given as JSON tokens; a field that is None is left out."""
    return ("{" + ", ".join(f'"{name}": {token}' for name, token in fields.items() if token is not None) + "}").encode()


def quoted(text: str) -> str:
    """Return the JSON token for a text, with its characters unescaped where JSON allows it."""
    return json.dumps(text, ensure_ascii=False)


def signup(customer_id: str, /, **tokens: str | None) -> bytes:
    """Return a good signup, but for the fields given; `customer_id` is put in quotes."""
    return spelled({"customer_id": quoted(customer_id)} | GOOD_SIGNUP | tokens)


def cancellation(customer_id: str, /, **tokens: str | None) -> bytes:
    """Return a good cancellation, but for the fields given."""
    return spelled({"customer_id": quoted(customer_id)} | GOOD_CANCELLATION | tokens)


def padded(value: bytes, size: int) -> bytes:
    """Return the same object made exactly `size` bytes long by a field that nobody reads."""
    filler = size - len(value) - len(b', "padding": ""')
    return value[:-1] + b', "padding": "' + b"x" * filler + b'"}'


def structured(data: bytes | None, /, **attributes: str | None) -> bytes:
    """Return a structured CloudEvent around `data`; attributes are JSON tokens, and None leaves one out."""
    usual = {"specversion": '"1.0"', "id": '"s-1"', "source": '"/billing"', "type": '"customer.signup"'}
    content = {} if data is None else {"data": data.decode()}
    return spelled(usual | attributes | content)

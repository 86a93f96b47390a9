"""Records whose outcome only the details of docs/contract.md and its schemas decide."""

from tests.support.records import Headers, Message
from tests.support.spelling import cancellation, quoted, signup, structured

STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)


def corner_cases() -> list[Message]:
    """All of them, each of a customer of its own."""
    messages = []
    for number, tokens in enumerate(_SIGNUPS):
        messages.append(Message("signup", b"%d" % number, signup(_id(1, number), **tokens)))
    for number, tokens in enumerate(_CANCELLATIONS):
        customer_id = _id(2, number)
        messages.append(Message("signup", b"", signup(customer_id)))
        messages.append(Message("cancellation", b"", cancellation(customer_id, **tokens)))
    for number, headers in enumerate(_HEADERS):
        customer_id = _id(3, number)
        messages.append(Message("signup", b"", signup(customer_id), headers))
        messages.append(Message("cancellation", b"", cancellation(customer_id), headers))
    for number, attributes in enumerate(_ENVELOPES):
        data = None if "data" in attributes else signup(_id(4, number))
        messages.append(Message("signup", b"", structured(data, **attributes), STRUCTURED))
    return messages


def _id(kind: int, number: int) -> str:
    return f"00000000-0000-{kind:04d}-0000-{number:012d}"


def _usd(amount: str) -> dict[str, str]:
    return {"mrr": f'{{"amount": {amount}, "currency": "USD"}}'}


def _currency(token: str) -> dict[str, str]:
    return {"mrr": f'{{"amount": "1.00", "currency": {token}}}'}


_AMOUNTS = (
    " 5",
    "5 ",
    "+5",
    ".5",
    "5.",
    "1e3",
    "1E+2",
    "007",
    "-0",
    "-0.0000001",
    "999999999999.9999999",
    "1e-999999999",
)
_SIGNUPS: list[dict[str, str]] = [
    *({"mrr": quoted(amount)} for amount in _AMOUNTS),
    *(_usd(quoted(amount)) for amount in _AMOUNTS),
    *({"mrr": number} for number in ("-0", "-0.0", "-0.0000001", "999999999999.9999999", "1e-999999999", "-1e-400")),
    *({"mrr": number} for number in (f"1e{'9' * 30}", f"1e-{'9' * 30}", f"-1e{'9' * 30}", f"0e{'9' * 30}")),
    *(_usd(number) for number in ("499", "499.00", "-1", "1e400")),
    *(_currency(token) for token in ('"usd"', '"Usd"', "null", "1", '""', '" USD"', "[]")),
    *({"plan_tier": token} for token in ("null", "7", "true", "[]", "{}", '["growth"]', '{"growth": 1}')),
    *({"signup_date": token} for token in ('"2026-01-15 10:00:00Z"', '"2016-12-31T23:59:60Z"', '"0000-01-01"')),
    {"signup_date": '"2016-12-31T23:59:60+14:00"'},
    {"industry": '"\ufb01ntech"'},
    {"industry": '"\u017fpace"'},
    {"customer_id": '"00000000-0000-0001-0000-999999999999", "customer_id": "00000000-0000-0001-0000-999999999998"'},
    {"note": "[" * 300 + "]" * 300},
    {"note": "[" * 900 + "]" * 900},
    {"note": "[" * 1100 + "]" * 1100},
    {"note": "9" * 60_000},
]
_CANCELLATIONS: list[dict[str, str]] = [
    *({"reason": token} for token in ("null", "5", "true", "[]", "{}", r'"\u0000"', r'"too\u0000late"')),
    {"cancellation_date": '"2026-04-15"'},
    {"cancellation_date": '"2016-12-31T23:59:60Z"'},
]
_HEADERS: list[Headers] = [
    (("ce_id", b"\xff\xfe"), ("ce_time", b"\xff"), ("ce_correlationid", b"\xc3\x28")),
    (("ce_id", b""), ("ce_time", b""), ("ce_correlationid", b""), ("traceparent", b""), ("tracestate", b"")),
    (("ce_id", b"1"), ("ce_id", b"2"), ("ce_time", b"2026-01-01T00:00:00Z"), ("ce_time", b"never")),
    (("ce_time", b"yesterday"), ("ce_id", b"x" * 60_000)),
    (("ce_time", b"2016-12-31T23:59:60Z"), ("ce_time", b"9999-12-31T23:59:59-14:00")),
    (("traceparent", b"\xff"), ("tracestate", b"\x00\n")),
    (("ce_id", b"a\x00b\r\nc"), ("ce_correlationid", b"\x00")),
    (("content-type", b"application/cloudevents-batch+json"),),
    (("content-type", b"application/cloudevents+avro"),),
    (("content-type", b"application/cloudevents"),),
    (("Content-Type", b"application/cloudevents+json"),),
    (("content-type", b"text/plain"), ("content-type", b"application/cloudevents+json")),
]
_ENVELOPES: list[dict[str, str]] = [
    {"id": "7"},
    {"id": '""'},
    {"source": "[]"},
    {"specversion": '"0.3"'},
    {"specversion": "1.0"},
    {"time": '"yesterday"'},
    {"time": "[]"},
    {"correlationid": "{}"},
    {"data": "null"},
    {"data": "null", "data_base64": '"!!!"'},
    {"data": "null", "data_base64": "7"},
    {"data_base64": '"e30="'},
    {"datacontenttype": '"text/xml"'},
    {"traceparent": "7"},
]

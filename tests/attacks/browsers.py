"""Web pages of other sites, in a browser on the worker's machine."""

from __future__ import annotations

from tests.attacks.attack import Targets
from tests.attacks.target import QUERIES, TOKEN

PAGES = (*QUERIES, "/", "/metrics", "/worker.json")
REBOUND = (
    "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "localhost.", "[::1].evil",
    "evil@localhost", "localhost/evil", "localhost#evil", "0x7f000001", "2130706433", "0.0.0.0", "",
)  # fmt: skip
OTHER_SITES = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
)


def rebinding(targets: Targets) -> str:
    """Request by names that resolve to this machine; with the token, too."""
    for target in (targets.open, targets.with_token):
        for host in REBOUND:
            for path in PAGES:
                target.require_refused(path, {"Host": host, "Authorization": f"Bearer {TOKEN}"}, 403)
    return f"403 for {len(REBOUND)} names"


def cross_site(targets: Targets) -> str:
    """Request as pages of other sites do; with the token, too."""
    for target in (targets.open, targets.with_token):
        for headers in OTHER_SITES:
            for path in PAGES:
                target.require_refused(path, {"Authorization": f"Bearer {TOKEN}", **headers}, 403)
    return f"403 for {len(OTHER_SITES)} kinds of requests"


def response_headers(targets: Targets) -> str:
    """Read the headers of every kind of response."""
    for path in ("/", "/livez", "/metrics", "/asyncapi.json", "/worker.json", "/ask/status", "/no-such-path"):
        headers = targets.open.get(path).headers
        assert headers.get("cache-control") == "no-store", path
        assert headers.get("referrer-policy") == "no-referrer", path
        assert headers.get("cross-origin-resource-policy") == "same-origin", path
        assert headers.get("x-content-type-options") == "nosniff", path
        assert headers.get("content-security-policy", "").startswith("default-src 'none'"), path
        assert "server" not in headers, path
        assert "access-control-allow-origin" not in headers, path
    return "no-store, no referrer, same-origin, nosniff, no scripts; no server header, no CORS"

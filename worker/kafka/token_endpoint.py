"""The OAuth 2.0 client credentials grant (RFC 6749, section 4.4) at the token endpoint of an OIDC identity provider."""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

from worker.errors import Exit, Refusal
from worker.kafka.errors import in_words
from worker.kafka.oauth_tokens import Token, TokenUnavailable, jwt_lifetime, require_token

TIMEOUT_SECONDS = 5.0
LARGEST_ANSWER = 1024 * 1024
_SETTING = "CUSTOMER_WORKER_KAFKA__OAUTH_"


class TokenEndpoint:
    """A token endpoint, for one client of it. Calling it requests a token."""

    def __init__(self, url: str, client_id: str, secret: str, scope: str | None, cafile: Path | None) -> None:
        self.shown = urlsplit(url)._replace(query="").geturl()
        self._url = url
        # RFC 6749, section 2.3.1: both are encoded before they are joined.
        pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
        self._credentials = base64.b64encode(pair.encode()).decode()
        self._client_id = client_id
        self._form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._opener = _opener(cafile)

    def __call__(self) -> Token:
        """Request a token. Raises `TokenUnavailable`."""
        request = Request(  # noqa: S310 - the settings allow https, and http on this machine
            self._url,
            urlencode(self._form).encode(),
            {
                "Authorization": f"Basic {self._credentials}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                answer = response.read(LARGEST_ANSWER)
        except HTTPError as error:
            with error:
                self._raise_refused(error)
        except (OSError, ValueError) as error:  # `URLError` and an invalid status line
            self._raise_unreachable(error)
        return self._token(_fields(answer))

    def _token(self, fields: Mapping[str, Any]) -> Token:
        value = require_token(fields.get("access_token"), f"the answer of the token endpoint {self.shown}")
        try:
            return Token(value, float(fields["expires_in"]))
        except (KeyError, TypeError, ValueError):
            return Token(value, jwt_lifetime(value))

    def _raise_refused(self, error: HTTPError) -> NoReturn:
        code = str(_fields(_answer_of(error)).get("error", ""))
        # The description beside the code can repeat what was sent.
        reason = f"HTTP {error.code}" + (f", {code}" if re.fullmatch("[a-z_]{1,40}", code) else "")
        if error.code in {400, 401, 403}:
            raise TokenUnavailable(
                f"the token endpoint {self.shown} refused a token for the client {self._client_id} ({reason})",
                f"Check {_SETTING}CLIENT_ID, {_SETTING}CLIENT_SECRET and {_SETTING}SCOPE",
            ) from None
        if error.code == 429 or error.code >= 500:  # noqa: PLR2004 - HTTP status codes
            raise TokenUnavailable(
                f"the token endpoint {self.shown} failed ({reason})", "Check the identity provider"
            ) from None
        raise TokenUnavailable(
            f"the token endpoint {self.shown} answered {reason}",
            f"Check {_SETTING}TOKEN_URL: it is `token_endpoint` in the identity provider's openid-configuration",
        ) from None

    def _raise_unreachable(self, error: Exception) -> NoReturn:
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            advice = f"Set {_SETTING}CAFILE to the certificate of its authority, or use a host name of its certificate"
        else:
            advice = f"Check {_SETTING}TOKEN_URL, the network and the proxy of this machine"
        reason = in_words(cause) if isinstance(cause, OSError) else "it does not speak HTTP"
        raise TokenUnavailable(f"the token endpoint {self.shown} cannot be reached: {reason}", advice) from None


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect: the credentials would be sent to another address."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener(cafile: Path | None) -> OpenerDirector:
    try:
        context = ssl.create_default_context(cafile=cafile)
    except (ssl.SSLError, OSError) as error:
        raise Refusal(
            f"{_SETTING}CAFILE: {cafile} cannot be read: {in_words(error)}. It is a PEM file", Exit.CONFIGURATION
        ) from error
    return build_opener(HTTPSHandler(context=context), _NoRedirects())


def _answer_of(error: HTTPError) -> bytes:
    try:
        return error.read(LARGEST_ANSWER)
    except OSError:
        return b""


def _fields(answer: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}

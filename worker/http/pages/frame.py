"""The frame of all pages: templates, style, script, navigation, and the policy that allows them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

import jinja2
from markupsafe import Markup
from starlette.responses import HTMLResponse

from domain.customer import dollars
from worker.http.pages import figures
from worker.monitoring.gauges import Gauges
from worker.settings import Settings
from worker.text.printable import printable

_FILES = files("worker.http.templates")
_STYLE = _FILES.joinpath("pages.css").read_text()
_SCRIPT = _FILES.joinpath("pages.js").read_text()


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the style and the script of the pages by their content, forms and requests to this port."""


def _ticked(text: str) -> Markup:
    """Return the text as HTML, with what is between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


class Entry(NamedTuple):
    """An entry of the navigation: address, text, and number of what waits there, if any."""

    href: str
    text: str
    waiting: int = 0


class Frame:
    """The frame of the pages of one worker. The navigation has the numbers of what waits, as last read by `gauges`."""

    def __init__(self, settings: Settings, gauges: Gauges) -> None:
        self._group = settings.kafka.group_id
        self._gauges = gauges
        self._environment = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            loader=jinja2.FunctionLoader(lambda name: _FILES.joinpath(name).read_text()),
        )
        self._environment.filters |= {
            "age": figures.age,
            "count": figures.count,
            "dollars": dollars,
            "moment": figures.moment,
            "printable": printable,
            "ticked": _ticked,
        }

    def page(
        self,
        name: str,
        *,
        status: int = 200,
        response_headers: Mapping[str, str] | None = None,
        refresh_seconds: int = 0,
        **values: object,
    ) -> HTMLResponse:
        """Render the page whose template is `name`.html; with `refresh_seconds`, it is refreshed periodically."""
        text = self._environment.get_template(f"{name}.html").render(
            values,
            style=_STYLE,
            script=_SCRIPT,
            group=self._group,
            here=name,
            navigation=self._navigation(),
            refresh_seconds=refresh_seconds,
        )
        return HTMLResponse(text, status, response_headers)

    def _navigation(self) -> list[Entry]:
        known = self._gauges.known()
        letters = known.at_stake.letters if known and known.at_stake else 0
        return [
            Entry(".", "Overview"),
            Entry("dead-letters", "Dead letters", letters),
            Entry("parked", "Parked", known.waiting.parked if known else 0),
            Entry("customer", "Customers"),
            Entry("reconcile", "Reconcile"),
            Entry("contract", "Contract"),
        ]

"""Settings as a whole: read from the environment, validated, and shown with secrets hidden."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettings

from worker.failpoints import VARIABLE as FAILPOINT
from worker.settings.section import HIDDEN, Section
from worker.settings.sections import Batch, Events, Http, Kafka, Log, Safety, SchemaRegistry, Topics
from worker.settings.store import Store

PREFIX = "CUSTOMER_WORKER_"


class SettingsError(Exception):
    """Invalid settings. `mistakes` has one sentence for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Settings(BaseSettings):
    """The settings. `Settings.read()` reads and validates them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    store: Store = Store()
    batch: Batch = Batch()
    schema_registry: SchemaRegistry = SchemaRegistry()
    events: Events = Events()
    safety: Safety = Safety()
    http: Http = Http()
    log: Log = Log()

    @classmethod
    def read(cls) -> Settings:
        """Read the settings of this process. Raises `SettingsError` with every mistake."""
        mistakes = list(_unknown_names(os.environ))
        try:
            settings = cls()
        except UnreadableSettings:
            pass  # a variable that names a whole section: `_unknown_names` has reported it
        except ValidationError as error:
            mistakes += [
                _sentence(details)
                for details in error.errors(include_input=False, include_url=False)
                if details["type"] not in {"extra_forbidden", "model_type"}  # likewise
            ]
        else:
            if not mistakes:
                return settings
        raise SettingsError(mistakes)

    def shown(self) -> dict[str, str]:
        """Return each variable and its value, with secrets hidden."""
        return dict(self._shown())

    def _shown(self) -> Iterator[tuple[str, str]]:
        for name, field in _names().items():
            section, setting = field
            value = getattr(getattr(self, section), setting)
            if name == f"{PREFIX}STORE__URL":
                yield name, self.store.shown
            elif isinstance(value, SecretStr):
                yield name, HIDDEN
            else:
                yield name, "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _names() -> dict[str, tuple[str, str]]:
    """Return each variable with the section and the field that it sets."""
    names = {}
    for section, info in Settings.model_fields.items():
        kind = info.annotation
        assert isinstance(kind, type) and issubclass(kind, Section)  # noqa: S101, PT018 - a fact of the class above
        for setting in kind.model_fields:
            names[f"{PREFIX}{section}__{setting}".upper()] = (section, setting)
    return names


def _unknown_names(environment: Mapping[str, str]) -> Iterator[str]:
    known = [*_names(), FAILPOINT]
    for name in environment:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            close = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"{name} is not a setting{hint}"


def _sentence(details: ErrorDetails) -> str:
    name = PREFIX + "__".join(str(part) for part in details["loc"][:2]).upper()
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "path_not_file":
        message = "names a file that does not exist"
    if details["type"] == "value_error" and len(details["loc"]) > 1:
        return f"{name} {message}"
    return f"{name}: {message[0].lower() if details['type'] != 'value_error' else message[0]}{message[1:]}"

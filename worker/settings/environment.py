"""Settings as a whole: read from the environment and from files, validated, and shown with secrets hidden."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, reduce
from pathlib import Path
from typing import Any, get_args

from pydantic import Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from worker.failpoints import VARIABLE as FAILPOINT
from worker.settings.kafka import Kafka
from worker.settings.masking import masked_query
from worker.settings.secret_files import FILE_SUFFIX, SecretFiles
from worker.settings.section import HIDDEN, Section
from worker.settings.sections import Batch, Events, Http, Log, Safety, SchemaRegistry, Topics
from worker.settings.store import Store

PREFIX = "CUSTOMER_WORKER_"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"
STORE_URL = f"{PREFIX}STORE__URL"


class SettingsError(Exception):
    """Invalid settings. `mistakes` has one sentence for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Settings(Section):
    """The settings. `Settings.read()` reads and validates them."""

    secrets_dir: Path | None = Field(
        default=None,
        description=(
            "directory with a file for each setting that is not in the environment, such as "
            "`CUSTOMER_WORKER_KAFKA__SASL_PASSWORD`"
        ),
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
        environment = {name.upper(): value for name, value in os.environ.items()}
        files = SecretFiles(environment, SECRETS_DIR, PREFIX, variables().keys(), in_files())
        mistakes = [*_unknown_names([*os.environ, *files.unknown]), *files.mistakes]
        try:
            settings = cls.model_validate(_by_section(files.values | environment))
        except ValidationError as error:
            mistakes += map(_sentence, error.errors(include_input=False, include_url=False))
        else:
            if not mistakes:
                return settings
        raise SettingsError(mistakes)

    def shown(self) -> dict[str, str]:
        """Return each variable and its value, with secrets hidden."""
        return dict(self._shown())

    def _shown(self) -> Iterator[tuple[str, str]]:
        for name, path in variables().items():
            value: Any = reduce(getattr, path, self)
            if name == STORE_URL:
                yield name, self.store.shown
            elif isinstance(value, SecretStr):
                yield name, HIDDEN
            elif name.endswith("_URL"):
                yield name, masked_query(value or "")
            else:
                yield name, "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@cache
def variables() -> Mapping[str, tuple[str, ...]]:
    """Return each variable with the path of the field that it sets: the section and the setting."""
    names: dict[str, tuple[str, ...]] = {}
    for name, info in Settings.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            names |= {f"{PREFIX}{name}__{setting}".upper(): (name, setting) for setting in kind.model_fields}
        else:
            names[f"{PREFIX}{name}".upper()] = (name,)
    return names


@cache
def in_files() -> frozenset[str]:
    """Return the variables that have a `_FILE` beside them: secrets, and addresses, which may hold one."""
    return frozenset(
        name
        for name, (section, *setting) in variables().items()
        if name.endswith("_URL") or (setting and _is_secret(section, setting[0]))
    )


def _is_secret(section: str, setting: str) -> bool:
    kind = Settings.model_fields[section].annotation
    assert isinstance(kind, type) and issubclass(kind, Section)  # noqa: S101, PT018 - a fact of `variables`
    annotation = kind.model_fields[setting].annotation
    return SecretStr in (annotation, *get_args(annotation))


def _by_section(values: Mapping[str, str]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, (section, *setting) in variables().items():
        if name in values and setting:
            nested.setdefault(section, {})[setting[0]] = values[name]
        elif values.get(name):
            nested[section] = values[name]
    return nested


def _unknown_names(names: Iterable[str]) -> Iterator[str]:
    known = [*variables(), *(name + FILE_SUFFIX for name in in_files()), FAILPOINT]
    for name in names:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            close = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"{name} is not a setting{hint}"


def _sentence(details: ErrorDetails) -> str:
    name = PREFIX + "__".join(str(part) for part in details["loc"][:2]).upper()
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "path_not_file":
        message = "names a file that does not exist"
    if details["type"] == "string_pattern_mismatch":
        message = "is not module:function"
    if details["type"] == "value_error" and len(details["loc"]) > 1:
        return f"{name} {message}"
    return f"{name}: {message[0].lower() if details['type'] != 'value_error' else message[0]}{message[1:]}"

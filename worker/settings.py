"""Every setting, from the environment: prefix `CUSTOMER_WORKER_`, nested by `__`. All are checked at start."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettings

from worker import addresses
from worker.failpoints import VARIABLE as FAILPOINT

PREFIX = "CUSTOMER_WORKER_"
_HIDDEN = "********"


class SettingsError(Exception):
    """One sentence a mistake, in `mistakes`."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def _topic_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) or name in {".", ".."}:
        raise ValueError("is no topic name: letters, digits, dots, dashes and underscores, at most 249")
    return name


TopicName = Annotated[str, AfterValidator(_topic_name)]


class Section(BaseModel):
    """A group of settings; never changed once read."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Kafka(Section):
    """How to reach Kafka."""

    bootstrap_servers: Annotated[str, AfterValidator(addresses.bootstrap_servers)] = Field(
        default="localhost:9092",
        description="bootstrap servers: `host:port`, separated by commas; an IPv6 address in brackets",
    )
    group_id: str = Field(
        default="customer-worker",
        min_length=1,
        description="consumer group; the `transactional.id` of the relay is derived from it",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`"
    )
    sasl_username: str | None = Field(default=None, description="user name for SASL")
    sasl_password: SecretStr | None = Field(default=None, description="password for SASL; never printed")
    ssl_cafile: FilePath | None = Field(
        default=None,
        description="certificate of the authority that signed the brokers' certificates; empty: those of the system",
    )
    ssl_certfile: FilePath | None = Field(default=None, description="client certificate of the worker")
    ssl_keyfile: FilePath | None = Field(default=None, description="private key of the client certificate")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        sasl = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        if self.security_protocol.startswith("SASL") and None in sasl:
            raise ValueError(f"{self.security_protocol} needs SASL_MECHANISM, SASL_USERNAME and SASL_PASSWORD")
        if not self.security_protocol.startswith("SASL") and any(part is not None for part in sasl):
            raise ValueError(f"SASL_* is set, but SECURITY_PROTOCOL is {self.security_protocol}")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("SSL_KEYFILE needs SSL_CERTFILE")
        return self


class Topics(Section):
    """The topics read and written."""

    signup: TopicName = Field(default="customer.signup", description="input topic with signups")
    cancellation: TopicName = Field(default="customer.cancellation", description="input topic with cancellations")
    churned: TopicName = Field(default="customer.churned", description="output topic with churn events")
    dead_letter_suffix: TopicName = Field(
        default="-dlt", description="appended to the name of an input topic to name its dead letter topic"
    )

    @property
    def inputs(self) -> tuple[str, str]:
        """What is read."""
        return self.signup, self.cancellation

    @property
    def outputs(self) -> tuple[str, str, str]:
        """What is written."""
        return self.churned, self.signup + self.dead_letter_suffix, self.cancellation + self.dead_letter_suffix

    @model_validator(mode="after")
    def _different(self) -> Self:
        names = self.inputs + self.outputs
        if len(set(names)) != len(names):
            raise ValueError("two topics have the same name: " + ", ".join(names))
        for name in self.outputs:
            _topic_name(name)
        return self


def _require_readable(url: str) -> None:
    """Raise `ValueError` where the driver cannot read this address. Its own words are left out: they may quote it."""
    from psycopg import ProgrammingError  # noqa: PLC0415 - DuckDB does without it
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        ports = str(conninfo_to_dict(url).get("port") or "").split(",")
        is_readable = all(re.fullmatch("[0-9]*", port) and int(port or 5432) in range(1, 65536) for port in ports)
    except ProgrammingError:
        is_readable = False
    if not is_readable:
        raise ValueError(
            "cannot be read: it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @, %2F for /, %3A for "
            ":, %25 for % and %20 for a space in the password, and after a ? only what PostgreSQL's libpq knows"
        )


def _duckdb_path(url: str) -> str:
    return url.removeprefix("duckdb://").removeprefix("/")


class Store(Section):
    """Where customers are kept."""

    url: SecretStr = Field(
        default=SecretStr("duckdb:///customers.duckdb"),
        description=(
            "`duckdb:///FILE`, relative to the working directory, with four slashes for an absolute path; "
            "`~` is not expanded. Or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, which many workers can "
            "share"
        ),
    )
    locks: Literal["advisory", "rows"] = Field(
        default="advisory",
        description=(
            "PostgreSQL only: `advisory` locks, or `rows` for a compatible database without advisory locks; "
            "the same for all workers"
        ),
    )

    @field_validator("url")
    @classmethod
    def _known(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if not re.fullmatch(r"duckdb:///.+|duckdb://:memory:|postgres(ql)?://.+", text):
            close = difflib.get_close_matches(text.partition(":")[0], ("duckdb", "postgresql"), n=1, cutoff=0.7)
            hint = f"; it does not begin with {close[0]}://" if close else ""
            raise ValueError(
                "is duckdb:///FILE (four slashes for an absolute path), duckdb://:memory: or "
                f"postgresql://USER:PASSWORD@HOST:PORT/DATABASE{hint}"
            )
        if text.startswith("postgres"):
            _require_readable(text)
        else:
            addresses.duckdb_file(_duckdb_path(text))
        return url

    @property
    def is_postgres(self) -> bool:
        """Whether it is PostgreSQL, and not DuckDB."""
        return self.url.get_secret_value().startswith("postgres")

    @property
    def path(self) -> str:
        """DuckDB's file, or `:memory:`."""
        return _duckdb_path(self.url.get_secret_value())

    @property
    def shown(self) -> str:
        """The address without its password."""
        # Up to the last @: a password may hold what an address does not.
        without = re.sub(r"^(\w+://[^:@/?#]*):.*@", rf"\1:{_HIDDEN}@", self.url.get_secret_value())
        return re.sub(r"([?&]\w*password=)[^&]*", rf"\1{_HIDDEN}", without)


class Batch(Section):
    """How much is taken at once. Small batches come by themselves when there is little to read."""

    max_records: PositiveInt = Field(default=30_000, description="maximum records per commit")
    max_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024 * 1024, description="maximum bytes per fetch, and approximately per commit"
    )
    max_value_bytes: PositiveInt = Field(
        default=64 * 1024, description="maximum size of a record value; a larger one is rejected as `too_large`"
    )


class Events(Section):
    """What events say of where they come from."""

    source: Annotated[str, AfterValidator(addresses.uri_reference)] = Field(
        default="/customers", description="`ce_source` of published events"
    )


class CutOutputs(StrEnum):
    """What to do about an output topic that has lost records whose receipt was not read yet."""

    REFUSE = "refuse"
    RESEND = "resend"
    PUBLISHED = "published"


class Safety(Section):
    """What the worker does only when told that it may; each is off until an operator has looked."""

    allow_skip_forward: bool = Field(
        default=False,
        description=(
            "follow a group offset that was set past the position in the store; the records between are skipped"
        ),
    )
    allow_lost_records: bool = Field(
        default=False,
        description="continue although input records were deleted, truncated or replaced before they were read",
    )
    cut_outputs: CutOutputs = Field(
        default=CutOutputs.REFUSE,
        description=(
            "an output topic lost records before the worker read them back: `refuse`: stop with 70. "
            "`resend`: publish every row in doubt; duplicates are possible. `published`: assume they were "
            "published; losses are possible"
        ),
    )


class Http(Section):
    """Where health, metrics and the operations page are served."""

    host: Annotated[str, AfterValidator(addresses.http_host)] = Field(
        default="127.0.0.1",
        description="host name or IP address to listen on; `0.0.0.0`: every IPv4 address; `::`: every address",
    )
    port: int = Field(
        default=8080, ge=0, le=65535, description="port to listen on; 0 picks a free one, which the log names"
    )
    enabled: bool = Field(
        default=True,
        description=(
            "serve health, metrics, the operations page, queries of the command line, and the contract documents"
        ),
    )


class Log(Section):
    """What is logged and how; `auto` is text on a terminal, JSON elsewhere."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="`DEBUG`, `INFO`, `WARNING` or `ERROR`"
    )
    format: Literal["auto", "text", "json"] = Field(
        default="auto", description="`text`, `json`, or `auto`: text on a terminal, JSON elsewhere"
    )


class Settings(BaseSettings):
    """All settings. `Settings.read()` reads and checks them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    store: Store = Store()
    batch: Batch = Batch()
    events: Events = Events()
    safety: Safety = Safety()
    http: Http = Http()
    log: Log = Log()

    @classmethod
    def read(cls) -> Settings:
        """The settings of this process. Raises `SettingsError`, which names every mistake at once."""
        mistakes = list(_unknown_names(os.environ))
        try:
            settings = cls()
        except UnreadableSettings:
            pass  # a variable that names a whole section: it is among the mistakes already
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
        """Each variable and its value, secrets hidden."""
        return dict(self._shown())

    def _shown(self) -> Iterator[tuple[str, str]]:
        for name, field in _names().items():
            section, setting = field
            value = getattr(getattr(self, section), setting)
            if name == f"{PREFIX}STORE__URL":
                yield name, self.store.shown
            elif isinstance(value, SecretStr):
                yield name, _HIDDEN
            else:
                yield name, "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _names() -> dict[str, tuple[str, str]]:
    """Each variable, and the section and field it sets."""
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

"""The `store` section: address of the database."""

from __future__ import annotations

import difflib
import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from worker import addresses
from worker.settings.masking import masked_postgres
from worker.settings.section import Section


class Store(Section):
    """Database that the worker writes."""

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
    def _validate(cls, url: SecretStr) -> SecretStr:
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
        """Whether the store is PostgreSQL; else it is DuckDB."""
        return self.url.get_secret_value().startswith("postgres")

    @property
    def path(self) -> str:
        """Path of the DuckDB file, or `:memory:`."""
        return _duckdb_path(self.url.get_secret_value())

    @property
    def shown(self) -> str:
        """Address with its secrets hidden."""
        url = self.url.get_secret_value()
        return masked_postgres(url) if self.is_postgres else url


def _require_readable(url: str) -> None:
    """Raise `ValueError` if the driver cannot parse this address, without its message: that may quote the password."""
    from psycopg import ProgrammingError  # noqa: PLC0415 - not loaded with DuckDB
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        ports = str(conninfo_to_dict(url).get("port") or "").split(",")
        is_readable = all(re.fullmatch("[0-9]*", port) and int(port or 5432) in range(1, 65536) for port in ports)
        # The driver takes the rest of a password after an unescaped @ as the host, which its errors quote.
        is_readable = is_readable and url.count("@") <= 1
    except ProgrammingError:
        is_readable = False
    if not is_readable:
        raise ValueError(
            "cannot be read: it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @, %2F for /, %3A for "
            ":, %25 for % and %20 for a space in the password, and after a ? only what PostgreSQL's libpq knows"
        )


def _duckdb_path(url: str) -> str:
    return url.removeprefix("duckdb://").removeprefix("/")

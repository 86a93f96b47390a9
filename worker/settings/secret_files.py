"""Settings read from files: a secrets directory, and `…_FILE` for secrets and addresses.

Values in files stand in no process list, no environment and no container description.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

MAX_BYTES = 64 * 1024
FILE_SUFFIX = "_FILE"


class FileRefused(Exception):
    """A file without a usable value. The message is one clause, and does not quote the content."""


def read_value(path: Path) -> str:
    """Return the text of a file without the line break at its end. Raises `FileRefused`."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileRefused(f"{path} cannot be read ({(error.strerror or 'unknown error').lower()})") from None
    if len(content) > MAX_BYTES:
        raise FileRefused(f"{path} has more than {MAX_BYTES} bytes")
    try:
        value = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise FileRefused(f"{path} is not UTF-8 text") from None
    if not value:
        raise FileRefused(f"{path} is empty")
    return value


class SecretFiles:
    """Values of settings from files, by variable. `mistakes` has one sentence for each problem.

    A file of the secrets directory has the name of a variable, in any letter case; `unknown` are those that begin with
    `prefix` and have none. Other files may be of other programs. A variable that is set in the environment as well wins
    over the directory; beside its own `_FILE` it is a mistake. `environment` has its names in upper case.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        directory_variable: str,
        prefix: str,
        names: Collection[str],
        in_files: Collection[str],
    ) -> None:
        self.values: dict[str, str] = {}
        self.unknown: list[str] = []
        self.mistakes: list[str] = []
        if directory := environment.get(directory_variable):
            self._read_directory(directory_variable, Path(directory), prefix, names)
        for name in sorted(in_files):
            if (variable := name + FILE_SUFFIX) in environment:
                self._take(name, Path(environment[variable]), variable)
                if name in environment:
                    self.mistakes.append(f"{name} and {variable} are both set: unset one of them")

    def _read_directory(self, variable: str, directory: Path, prefix: str, names: Collection[str]) -> None:
        try:
            files = sorted(path for path in directory.iterdir() if path.is_file())
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            self.mistakes.append(f"{variable}: the directory {directory} cannot be read ({reason})")
            return
        for path in files:
            name = path.name.upper()
            if name in names and name != variable:
                self._take(name, path, variable)
            elif name.startswith(prefix):
                self.unknown.append(path.name)

    def _take(self, name: str, path: Path, variable: str) -> None:
        try:
            self.values[name] = read_value(path)
        except FileRefused as refused:
            self.mistakes.append(f"{variable}: the file {refused}")

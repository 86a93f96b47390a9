"""A base image from this machine's own files, for an engine that cannot pull the one that the Dockerfile names.

It has what the Dockerfile uses of `python:3.12-slim`: Python in /usr/local, a shell, coreutils, and the libraries that
Debian's slim image brings; and `strip`, which is installed during a build otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple

PROGRAMS = ("sh", "cat", "chmod", "cp", "echo", "env", "find", "install", "ls", "mkdir", "rm", "strip")
LIBRARIES = re.compile(r"lib(c|dl|m|pthread|resolv|rt|util|gcc_s|stdc\+\+)\.so\.\d+")
"""Libraries that wheels expect on every system."""
EXTENSIONS_LEFT_OUT = ("_tkinter",)
PARTS_LEFT_OUT = {"test", "idlelib", "tkinter", "turtledemo", "lib2to3", "site-packages", "__pycache__"}
MINOR = "3.12"
PASSWD = "root:x:0:0:root:/root:/bin/sh\n"


class Python(NamedTuple):
    """An installation of Python on this machine."""

    prefix: Path
    version: str

    @property
    def program(self) -> Path:
        """The interpreter."""
        return (self.prefix / "bin" / f"python{self.version}").resolve()

    @property
    def library(self) -> Path:
        """The directory of its standard library."""
        return self.prefix / "lib" / f"python{self.version}"


def write_root(python: Python, output: IO[bytes]) -> None:
    """Write the root file system, with this Python, as a tar archive."""
    with tarfile.open(fileobj=output, mode="w|") as archive:
        _add_text(archive, "etc/passwd", PASSWD)
        _add_text(archive, "etc/group", "root:x:0:\n")
        _add_text(archive, "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        for directory in ("tmp", "root", "proc", "sys", "dev", "run", "usr/local/bin"):
            _add_directory(archive, directory)
        linked = list(_add_python(archive, python))
        for program in PROGRAMS:
            file = Path(shutil.which(program) or f"/bin/{program}").resolve()
            archive.add(file, f"bin/{program}")
            linked.append(file)
        for library in sorted({*_linked(linked), *_loaded()}):
            archive.add(library.resolve(), str(library).lstrip("/"))
        archive.add(Path("/etc/ssl/certs/ca-certificates.crt").resolve(), "etc/ssl/certs/ca-certificates.crt")


def find_python() -> Python:
    """Find the Python of the Dockerfile's minor version; that of the tests if there is none."""
    command = ["-c", "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])"]
    for program in filter(shutil.which, (f"python{MINOR}", sys.executable)):
        found = subprocess.run(
            [program, *command],
            env=os.environ | {"PYENV_VERSION": MINOR},
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode == 0:
            prefix, version = found.stdout.split()
            return Python(Path(prefix), version)
    raise RuntimeError("no Python was found")


def _add_python(archive: tarfile.TarFile, python: Python) -> Iterator[Path]:
    """Add the interpreter, its standard library and pip to /usr/local. Yields what is linked to libraries."""
    inside = f"usr/local/lib/python{python.version}"
    yield python.program
    archive.add(python.program, f"usr/local/bin/python{python.version}")
    for name in ("python", "python3"):
        _add_link(archive, f"usr/local/bin/{name}", f"python{python.version}")
    for part in sorted(python.library.iterdir()):
        if part.name not in PARTS_LEFT_OUT and not part.name.startswith("config-"):
            archive.add(part, f"{inside}/{part.name}", filter=_without_bytecode)
    for part in (python.library / "site-packages").glob("pip*"):
        archive.add(part, f"{inside}/site-packages/{part.name}", filter=_without_bytecode)
    for library in (python.prefix / "lib").glob("libpython*.so*"):
        archive.add(library, f"usr/lib/{library.name}")  # found there whatever the program was linked for
    yield from (python.library / "lib-dynload").glob("*.so")


def _without_bytecode(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(member.name).name
    return None if name == "__pycache__" or name.startswith(EXTENSIONS_LEFT_OUT) else member


def _linked(files: Iterable[Path]) -> Iterator[Path]:
    """Yield the libraries of the system that these files are linked to, and the loader."""
    for file in files:
        if file.name.startswith(EXTENSIONS_LEFT_OUT):
            continue
        listed = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
        yield from (Path(path) for path in re.findall(r"(/\S+\.so\S*)", listed) if "libpython" not in path)


def _loaded() -> Iterator[Path]:
    """Yield the libraries named in `LIBRARIES`."""
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for path in re.findall(r"=> (/\S+)", cache):
        if LIBRARIES.fullmatch(Path(path).name):
            yield Path(path)


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text)
    archive.addfile(member, BytesIO(text.encode()))


def _add_directory(archive: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
    archive.addfile(member)


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    archive.addfile(member)

"""The image of the worker, built from the Dockerfile."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from tests.support.containers import stand_in
from tests.support.containers.engine import Engine

BASE = "TEST_CONTAINER_BASE"
"""`stand-in`: build on a base made from this machine's files, with Podman. Else the base that the Dockerfile names."""
ROOT = Path(__file__).parents[3]
STAND_IN_TAG = "localhost/customer-worker-base:test"
TAG = "localhost/customer-worker:test"
LOCKS = ("requirements.txt", "deploy/image/build-requirements.txt")
PIP_CONFIGURATION = "[global]\nno-index = true\nfind-links = /wheels\n"


def is_on_stand_in() -> bool:
    """Return whether the image is built on the stand-in."""
    return os.environ.get(BASE) == "stand-in"


def build_image(engine: Engine) -> str:
    """Build the image, and return its tag. The layers of an earlier build are used again where nothing changed."""
    with tempfile.TemporaryDirectory(prefix="image-") as directory:
        options = _on_stand_in(engine, Path(directory)) if is_on_stand_in() else []
        # HEALTHCHECK is not part of the OCI format, which Podman builds by default.
        own_format = ["--format", "docker"] if engine.is_podman else []
        try:
            engine.run("build", *own_format, *options, "--build-arg", "REVISION=test", "--tag", TAG, str(ROOT))
        except AssertionError as failed:
            failed.add_note(
                f"Where no registry can be reached, set {BASE}=stand-in (docs/contributing.md, with Podman)."
            )
            raise
    return TAG


def base_of_dockerfile() -> str:
    """Return the base image that the Dockerfile names."""
    [base] = re.findall(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return str(base)


def megabytes(engine: Engine, tag: str) -> float:
    """Return the size of an image, as `images` prints it."""
    return int(engine.run("image", "inspect", "--format", "{{.Size}}", tag)) / 1e6


def _on_stand_in(engine: Engine, directory: Path) -> list[str]:
    """Make the base and the wheels, and return the options that build the image on them, without a network."""
    assert engine.is_podman, f"{BASE}=stand-in needs Podman"
    python = stand_in.find_python()
    _import_base(engine, python, directory / "root.tar")
    wheels = directory / "wheels"
    download = [
        str(python.program),
        *["-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--require-hashes"],
    ]
    for lock in LOCKS:
        subprocess.run([*download, "--dest", str(wheels), "--requirement", str(ROOT / lock)], check=True)
    configuration = directory / "pip.conf"
    configuration.write_text(PIP_CONFIGURATION)
    return [
        *("--build-arg", f"BASE={STAND_IN_TAG}"),
        *("--network", "none"),
        *("--volume", f"{wheels}:/wheels:ro"),
        *("--secret", f"id=pip,src={configuration}"),
    ]


def _import_base(engine: Engine, python: stand_in.Python, archive: Path) -> None:
    """Make the base, unless there is one of the same content: layers of an earlier build can be used again."""
    with archive.open("wb") as output:
        stand_in.write_root(python, output)
    with archive.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    label = '{{index .Config.Labels "content"}}'
    if engine.ended("image", "inspect", "--format", label, STAND_IN_TAG) != (0, f"{digest}\n"):
        engine.run("import", "--change", f"LABEL content={digest}", str(archive), STAND_IN_TAG)

"""An invalid certificate file is one sentence in every command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WRONG_CONFIGURATION = 78
NO = 1


@pytest.mark.parametrize(
    ("command", "code"),
    [(["run"], WRONG_CONFIGURATION), (["topics", "create"], WRONG_CONFIGURATION), (["check"], NO)],
    ids=["run", "topics create", "check"],
)
def test_invalid_certificate_file_is_one_sentence(command: list[str], code: int, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    settings = {"SECURITY_PROTOCOL": "SSL", "SSL_CAFILE": str(tmp_path / "ca.pem")}
    environment = os.environ | {f"CUSTOMER_WORKER_KAFKA__{name}": value for name, value in settings.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "worker", *command],
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert "CUSTOMER_WORKER_KAFKA__SSL_CAFILE" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr

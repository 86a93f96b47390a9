"""Prometheus and promtool, its own checker of rules: from the path, else from Debian's package, in `.cache`."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

RULES = Path(__file__).parents[2] / "worker" / "monitoring" / "alerts.yaml"
CACHE = Path(__file__).parents[2] / ".cache" / "promtool"
LIMIT_S = 300


@cache
def program(name: str) -> str:
    """Return the path of `promtool` or `prometheus`.

    Raises `RuntimeError` if it cannot be downloaded: a test without it fails, it is not skipped.
    """
    if found := shutil.which(name):
        return found
    unpacked = CACHE / "usr" / "bin" / name
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE.parent / "promtool.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run side by side come here at once
        if not unpacked.exists():
            _unpack_from_debian()
    return str(unpacked)


def _unpack_from_debian() -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise RuntimeError(
            "These tests need promtool and prometheus: install Prometheus, so that both are on the path."
        )
    # Unpacked beside and renamed, so that an interrupted run leaves nothing that looks complete.
    with tempfile.TemporaryDirectory(prefix="promtool-", dir=CACHE.parent) as parts:
        if not _run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "prometheus"], parts):
            if os.geteuid() == 0:
                _run(["apt-get", "update", "-qq"], parts)  # a fresh machine has no lists yet
            if not _run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "prometheus"], parts):
                raise RuntimeError("These tests need promtool, and Debian's package prometheus could not be had.")
        (package,) = Path(parts).glob("prometheus_*.deb")
        _run(["dpkg-deb", "-x", str(package), "unpacked"], parts)
        (Path(parts) / "unpacked").rename(CACHE)


def _run(command: Sequence[str], directory: str) -> bool:
    done = subprocess.run(command, cwd=directory, capture_output=True, timeout=LIMIT_S, check=False)
    return done.returncode == 0


def run_promtool(*arguments: str, given: str = "") -> tuple[int, str]:
    """Its exit code, and all that it printed."""
    done = subprocess.run(
        [program("promtool"), *arguments],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout


def require_firing(directory: Path, scrapes: Sequence[str | None], firing: Mapping[str, int]) -> None:
    """Let Prometheus evaluate the rules over these scrapes of `/metrics`, one a minute, None where none was answered.

    After the last one exactly these alerts must fire: how many of each name.
    """
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in _series(scrapes).items()],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{len(scrapes) - 1}m",
                        "exp_samples": [
                            {"labels": f'{{alertname="{name}"}}', "value": count} for name, count in firing.items()
                        ],
                    }
                ],
            }
        ],
    }
    file = directory / "scraped_test.yaml"
    file.write_text(yaml.safe_dump(test))
    code, said = run_promtool("test", "rules", str(file))
    assert code == 0, said


def _series(scrapes: Sequence[str | None]) -> dict[str, str]:
    """Every series and its values, as promtool writes them: `_` for none, and `stale` where a scrape failed."""
    values: dict[str, list[str]] = defaultdict(lambda: ["_"] * len(scrapes))
    for minute, scrape in enumerate(scrapes):
        found = {name: str(value) for name, value in _samples(scrape).items()} if scrape is not None else {}
        for name in {*values, *found}:
            was_there = minute > 0 and values[name][minute - 1] not in {"_", "stale"}
            values[name][minute] = found.get(name, "stale" if was_there else "_")
    return {name: " ".join(each) for name, each in values.items()}


def _samples(scrape: str) -> dict[str, float]:
    labelled = {}
    for family in text_string_to_metric_families(scrape):
        for sample in family.samples:
            labels = {**sample.labels, "job": "customer-worker", "instance": "one"}
            inside = ", ".join(f'{name}="{value}"' for name, value in labels.items())
            labelled[f"{sample.name}{{{inside}}}"] = sample.value
    return labelled

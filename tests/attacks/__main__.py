"""`python -m tests.attacks`: attack a worker in every way, and print what was seen."""

from __future__ import annotations

import argparse
import sys
from http.client import HTTPException

from rich.console import Console
from rich.table import Table

from tests.attacks.attack import Attack, NotPossible, Targets
from tests.attacks.catalogue import ATTACKS, targets
from tests.support.kafka.broker import running_kafka

console = Console(width=None if sys.stdout.isatty() else 160)


def main() -> None:
    """Run the attacks; exits with 1 if one succeeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="only attacks whose names contain this")
    only = parser.parse_args().only or ""
    table = Table("attack", "tried", "result", "seen")
    with running_kafka() as kafka, targets(kafka) as attacked:
        results = [(each, *run(each, attacked)) for each in ATTACKS if only in each.name]
    for attack, result, seen in results:
        table.add_row(attack.name, attack.tried, result, seen)
    console.print(table, markup=False)
    raise SystemExit(any(result == "SUCCEEDED" for _, result, _ in results))


def run(attack: Attack, attacked: Targets) -> tuple[str, str]:
    """Return the result of an attack, and what was seen."""
    console.print(f"{attack.name}: {attack.tried}", markup=False)
    try:
        return "repelled", attack.run(attacked)
    except NotPossible as reason:
        return "not tried", str(reason)
    except AssertionError as seen:
        return "SUCCEEDED", str(seen)
    except (OSError, HTTPException) as error:
        return "SUCCEEDED", f"the worker does not answer: {error!r}"


if __name__ == "__main__":
    main()

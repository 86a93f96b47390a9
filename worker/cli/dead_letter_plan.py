"""The dead letters that a redrive or a discard selects, printed as tables and as JSON."""

from __future__ import annotations

import json
from typing import Any

from worker.cli.dead_letter_tables import groups_as_json, print_groups
from worker.cli.progress import progress_bar
from worker.cli.shared import print_line
from worker.redrive.plan import Plan, plan
from worker.redrive.search import find_dead_letters
from worker.redrive.source import RemoteSource
from worker.settings import Settings
from worker.stores.dead_letters import Filters

_LEFT_OUT = {
    "redriven": "redriven already, not decided yet",
    "applied": "applied since",
    "refused_again": "redriven and refused again: the new dead letter replaces it",
    "discarded": "discarded",
    "redriven_too_often": "redriven --max-redrives times already",
}


async def find_plan(settings: Settings, filters: Filters, max_redrives: int) -> Plan:
    """Plan a redrive or a discard from the current state of the store. Raises `Refusal`."""
    with progress_bar("Searching unread records for redrives") as progress:
        letters, _ = await find_dead_letters(settings, RemoteSource(settings), filters, progress=progress)
    return plan(letters, max_redrives)


def print_dry_run(chosen: Plan, heading: str, *, as_json: bool) -> None:
    """Print a plan that is not executed."""
    if as_json:
        print(json.dumps({"executed": False, **plan_as_json(chosen)}))
        return
    print_plan(chosen, heading=heading)
    if chosen.letters:
        print_line("Add --execute to execute it.")


def print_plan(plan: Plan, *, heading: str) -> None:
    """Print the selected letters in groups, and the number left out by reason."""
    print_line(heading)
    if plan.letters:
        print_groups(plan.groups, plan.letters)
    for reason, count in sorted(plan.left_out.items()):
        print_line(f"Left out: {count:,} {_LEFT_OUT.get(reason, reason)}")


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Return the plan with the coordinates of every letter."""
    return {
        **groups_as_json(plan.groups, plan.letters),
        "letters": [letter.coordinates for letter in plan.letters],
        "left_out": plan.left_out,
    }

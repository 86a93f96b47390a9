"""Options that select dead letters, shared by the commands that list, redrive and discard them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from worker.cli.ages import age_from
from worker.cli.shared import customer_id_typed
from worker.messages.rejection import Reason
from worker.settings import Settings
from worker.stores.dead_letters import Filters

Ids = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="TOPIC/PARTITION/OFFSET", help="Select this dead letter; may be repeated."),
]
OfReason = Annotated[
    Reason | None,
    typer.Option("--reason", metavar="REASON", help=f"Select by reason of the refusal: {', '.join(Reason)}."),
]
OfTopic = Annotated[str | None, typer.Option("--topic", metavar="TOPIC", help="Select by source topic.")]
OfCustomer = Annotated[
    str | None, typer.Option("--customer", parser=customer_id_typed, metavar="ID", help="Select by customer.")
]
OfSender = Annotated[
    str | None,
    typer.Option("--sender", metavar="SOURCE", help="Select by CloudEvents source; '' selects records without one."),
]
OlderThan = Annotated[
    timedelta | None, typer.Option(parser=age_from, metavar="AGE", help="Refused longer ago than this: 45m, 12h, 30d.")
]
NewerThan = Annotated[
    timedelta | None,
    typer.Option(parser=age_from, metavar="AGE", help="Refused more recently than this: 45m, 12h, 30d."),
]


def filters_from_options(
    settings: Settings,
    ids: Sequence[str] | None,
    reason: Reason | None,
    topic: str | None,
    customer: str | None,
    sender: str | None,
    older_than: timedelta | None,
    newer_than: timedelta | None,
) -> Filters:
    """Return the filters for these options. Raises `typer.BadParameter`."""
    if topic is not None and topic not in settings.topics.inputs:
        raise typer.BadParameter(f"--topic is one of {', '.join(settings.topics.inputs)}")
    now = datetime.now(UTC)
    return Filters(
        ids=tuple(ids or ()),
        topic=topic,
        reason=reason,
        customer=customer,
        sender=sender,
        refused_before=None if older_than is None else now - older_than,
        refused_since=None if newer_than is None else now - newer_than,
    )

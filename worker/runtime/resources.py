"""Resources that a worker opens before it joins its group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from socket import socket
from typing import NamedTuple

from worker import preflight
from worker.bootstrap import backend, open_store
from worker.consumer.single_owner_assignor import members_of
from worker.failpoints import reach
from worker.http.listening import listen
from worker.kafka import rights
from worker.kafka.clients import Member
from worker.settings import Settings
from worker.stores.port import Store
from worker.stores.thread import StoreThread


class Resources(NamedTuple):
    """The open store, the listening socket (None if HTTP is disabled), and the members of the group before."""

    store: Store
    socket: socket | None
    members: Sequence[Member]


async def open_resources(settings: Settings, thread: StoreThread) -> Resources:
    """Check rights and topics, then open the store on its thread. Raises `Refusal`."""
    loading = asyncio.ensure_future(thread.call(backend(settings.store).load))  # takes as long as the requests to Kafka
    # Before this worker joins, which could not be distinguished from them.
    describing = asyncio.ensure_future(members_of(settings))
    try:
        await rights.require_rights(settings)
        await preflight.require_topics(settings)
        await loading
        members = await describing
    except Exception:
        await asyncio.gather(loading, describing, return_exceptions=True)  # they close their connections
        raise
    store = await thread.call(open_store, settings)
    reach("store-opened")
    return Resources(store, listen(settings.http) if settings.http.enabled else None, members)

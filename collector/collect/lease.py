"""The lease of a replica on a shared store: registered, renewed, and released.

A replica that was frozen or disconnected for longer than its lease has lost its claims to other replicas, and the
store rejects its writes. It stops all its work and registers as a new replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from collector import __version__
from collector.store import LeaseLost, NewReplica, StoreDenied, StoreError, process_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import timedelta

    from collector.profile import Profile
    from collector.store import Store

log = logging.getLogger(__name__)

_RENEWALS = 4
"""Renewals within one lease, so that one of them may fail."""


@asynccontextmanager
async def hold_lease(
    store: Store, profiles: Sequence[Profile], lease: timedelta, stop: asyncio.Event, command: str = "run"
) -> AsyncIterator[None]:
    """Register a replica for *profiles*; set *stop* if its lease is lost. At the end its claims are released.

    The recorded name contains *command*, unless it is the service. A store on SQLite has one owner and no lease.
    """
    if store.backend == "sqlite":
        yield
        return
    name = process_name(socket.gethostname(), os.getpid(), command)
    await store.register(NewReplica(name, __version__, [profile.name for profile in profiles], lease))
    heartbeat = asyncio.create_task(_heartbeat(store, lease, stop))
    try:
        yield
    finally:
        heartbeat.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await heartbeat
        with contextlib.suppress(StoreError):  # the lease expires then
            await store.deregister(store.clock())


async def _heartbeat(store: Store, lease: timedelta, stop: asyncio.Event) -> None:
    """Keep renewing during shutdown, because requests in flight still need the lease."""
    pause = lease.total_seconds() / _RENEWALS
    while True:
        await asyncio.sleep(pause)
        try:
            await store.renew_lease(lease, store.clock())
        except LeaseLost as error:
            log.warning("lease", extra={"outcome": "lost", "reason": str(error)})
            stop.set()
            return
        except StoreDenied:  # waiting does not help, so this ends the process
            stop.set()
            raise
        except StoreError as error:
            log.error("lease", extra={"outcome": "failed", "reason": str(error)})  # noqa: TRY400 - no traceback

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
"""So often within a lease it is renewed: one that fails is no loss."""


@asynccontextmanager
async def enlisted(
    store: Store, profiles: Sequence[Profile], lease: timedelta, stop: asyncio.Event, command: str = "run"
) -> AsyncIterator[None]:
    """Be a replica that sees to *profiles*, and set *stop* where its lease is lost; at the end its claims are free.

    *command* is what the process was started as; its name on record says if that is not the service.

    A store on SQLite has one owner for as long as the process lives, and no lease.
    """
    if store.backend == "sqlite":
        yield
        return
    name = process_name(socket.gethostname(), os.getpid(), command)
    await store.register(NewReplica(name, __version__, [profile.name for profile in profiles], lease))
    keeping = asyncio.create_task(_keep(store, lease, stop))
    try:
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        with contextlib.suppress(StoreError):  # the others notice that it is gone
            await store.deregister(store.clock())


async def _keep(store: Store, lease: timedelta, stop: asyncio.Event) -> None:
    """Renew the lease, though told to stop: what is under way is still the replica's."""
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

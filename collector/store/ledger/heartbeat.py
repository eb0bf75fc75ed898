"""Whether a service runs on the store: the life sign that it writes, the owner's lock on SQLite, leases on Postgres."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import rfc3339, utc
from collector.store.db import state
from collector.store.db.lock_file import hidden_owner_since, owner_of
from collector.store.db.schema import replicas

if TYPE_CHECKING:
    from datetime import datetime

    from collector.store.db.location import Location
    from collector.store.db.lock_file import Owner

KEY = "service"
SERVICE = "run"
"""The owner's words of the command that is a service; every other command ends by itself."""

_clock: Any = sa.func.clock_timestamp(type_=sa.TIMESTAMP(timezone=True))
_ALIVE = sa.select(replicas.c.name, replicas.c.version, replicas.c.profiles, replicas.c.started_at)
_ALIVE = _ALIVE.where(replicas.c.expires_at >= _clock).order_by(replicas.c.id)


@dataclass(frozen=True, slots=True)
class ServiceHeartbeat:
    """A life sign: *name* is host and process id, *progress_at* when work was last completed, None if never."""

    name: str
    version: str
    seen_at: datetime
    progress_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The service of a store, or the last one that was seen if none is *running*.

    *since*: the start of the running one, else the last sign of the one that is gone. *profiles* are the names of those
    that it collects, None if that is not known. *seen_at* is its last life sign, None before the first.
    """

    running: bool
    since: datetime
    name: str | None = None
    version: str | None = None
    last_progress: datetime | None = None
    seen_at: datetime | None = None
    profiles: frozenset[str] | None = None


def named(host: str, pid: int, command: str = SERVICE) -> str:
    """Return the name of a process on record: `host:pid`, with the command's words if it is not a service."""
    return f"{host}:{pid}" + (f" ({command})" if command != SERVICE else "")


def is_service(name: str) -> bool:
    """Return whether a name that `named` wrote is a service's."""
    return not name.endswith(")")


def write(connection: sa.Connection, beat: ServiceHeartbeat) -> None:
    """Write a life sign over the previous one; progress of another replica that is later stays."""
    known = _last(connection)
    moments = [one.progress_at for one in (beat, known) if one and one.progress_at and one.progress_at <= beat.seen_at]
    progress = max(moments, default=None)
    content = {
        "name": beat.name,
        "version": beat.version,
        "seen_at": rfc3339(beat.seen_at),
        "progress_at": rfc3339(progress) if progress else None,
    }
    state.put(connection, KEY, json.dumps(content))


def read(connection: sa.Connection, location: Location) -> ServiceState | None:
    """Return the state of the store's service; None if none was ever seen."""
    beat = _last(connection)
    if location.path:
        owner = owner_of(location.path)
        if owner and owner.command == SERVICE:
            return _owning(owner, beat)
        since = hidden_owner_since(location.path)
        return _running(since, beat) if since and beat and beat.seen_at >= since else _gone(beat)
    alive = [row for row in connection.execute(_ALIVE) if is_service(row.name)]
    if not alive:
        return _gone(beat)
    names = frozenset(name for row in alive for name in json.loads(row.profiles))
    since = min(row.started_at for row in alive)
    name, version = ", ".join(row.name for row in alive), ", ".join(dict.fromkeys(row.version for row in alive))
    progress, seen_at = (beat.progress_at, beat.seen_at) if beat else (None, None)
    return ServiceState(True, since, name, version, progress, seen_at, names)  # noqa: FBT003 - the first field says so


def _owning(owner: Owner, beat: ServiceHeartbeat | None) -> ServiceState:
    since = utc(owner.since)
    if beat is None or not beat.name.endswith(f":{owner.pid}"):
        return ServiceState(running=True, since=since, name=f"process {owner.pid}")
    return _running(since, beat)


def _running(since: datetime, beat: ServiceHeartbeat) -> ServiceState:
    return ServiceState(
        running=True,
        since=since,
        name=beat.name,
        version=beat.version,
        last_progress=beat.progress_at,
        seen_at=beat.seen_at,
    )


def _gone(beat: ServiceHeartbeat | None) -> ServiceState | None:
    if beat is None:
        return None
    return ServiceState(
        running=False,
        since=beat.seen_at,
        name=beat.name,
        version=beat.version,
        last_progress=beat.progress_at,
        seen_at=beat.seen_at,
    )


def _last(connection: sa.Connection) -> ServiceHeartbeat | None:
    text = state.get(connection, KEY)
    if text is None:
        return None
    content = json.loads(text)
    progress = content["progress_at"]
    return ServiceHeartbeat(
        content["name"], content["version"], utc(content["seen_at"]), utc(progress) if progress else None
    )


def commands(connection: sa.Connection, location: Location) -> list[str]:
    """List the commands other than a service that own the SQLite store or hold a lease on Postgres."""
    if location.path:
        owner = owner_of(location.path)
        if owner is None and (since := hidden_owner_since(location.path)):
            beat = _last(connection)
            return [] if beat and beat.seen_at >= since else [f"another process, since {rfc3339(since)}"]
        return [str(owner)] if owner and owner.command != SERVICE else []
    return [row.name for row in connection.execute(_ALIVE) if not is_service(row.name)]

"""Replicas: the processes that share a store on Postgres, each with a lease on all that it has claimed.

A replica that has not renewed its lease in time is buried by the others: its requests under way end as interrupted, so
that an answer of theirs is refused by the transaction that would save it, and what it had claimed is free. Who begins
something new holds its own row while it does, which a burial does not touch. It is the database's clock that counts.

A store on SQLite has one owner, which its lock file sees to: there is no row, and nobody is buried.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.store.db.schema import duties, fetches, replicas
from collector.store.errors import LeaseLost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta


NO_REPLICA = 0
"""The id of a process that is not enlisted, and of the one owner of a SQLite store."""

_CLOCK: Any = sa.func.clock_timestamp(type_=sa.TIMESTAMP(timezone=True))
_THIS = replicas.c.id == sa.bindparam("replica_id")
_ALIVE = sa.select(replicas.c.id).where(_THIS).with_for_update(read=True, key_share=True)
_EXPIRED = sa.select(replicas.c.id).where(replicas.c.expires_at < _CLOCK)
_SILENT = _EXPIRED.with_for_update(skip_locked=True)

APPLICATION_NAME = "collector replica {}"
"""The application_name of what a replica writes, by its id."""
_CUT = sa.text("""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = ANY(:names) AND wait_event_type = 'Client'
  AND datname = current_database() AND usename = current_user""")


@dataclass(frozen=True, slots=True)
class Replica:
    """A process that shares the work: *name* is host and process id, *working_on* the profiles it is at just now."""

    id: int
    name: str
    version: str
    profiles: tuple[str, ...]
    started_at: datetime
    expires_at: datetime
    working_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewReplica:
    """A process that wants to be a replica, with *profiles* to see to; silent for *lease*, it has lost its claims."""

    name: str
    version: str
    profiles: Sequence[str]
    lease: timedelta


def register(connection: sa.Connection, candidate: NewReplica) -> int:
    """Take a process on and give its id, which no other one ever has; NO_REPLICA on SQLite."""
    if connection.dialect.name == "sqlite":
        return NO_REPLICA
    row = {"name": candidate.name, "version": candidate.version, "profiles": json.dumps([*candidate.profiles])}
    times = {"started_at": _CLOCK, "expires_at": _CLOCK + candidate.lease}
    enlisted = connection.execute(sa.insert(replicas).values(**row, **times).returning(replicas.c.id))
    return int(enlisted.scalar_one())


def check(connection: sa.Connection, replica_id: int) -> None:
    """Make sure until the transaction ends that a replica has its lease; LeaseLost where it has not."""
    if replica_id != NO_REPLICA and connection.execute(_ALIVE, {"replica_id": replica_id}).first() is None:
        raise LeaseLost("this process was silent for longer than its lease, and others do its work now")


def renew_lease(connection: sa.Connection, replica_id: int, lease: timedelta) -> None:
    """Let a replica live on for *lease*; LeaseLost where it was buried."""
    renewed = sa.update(replicas).where(replicas.c.id == replica_id).values(expires_at=_CLOCK + lease)
    if replica_id != NO_REPLICA and not connection.execute(renewed).rowcount:
        check(connection, replica_id)


def expire(connection: sa.Connection, now: datetime) -> int:
    """Bury the replicas whose leases have run out; gives their number.

    Who froze in the midst of a statement holds its row for as long as it is frozen, for Postgres ends only transactions
    that wait for the next one. It is cut off here, and buried the next time.
    """
    if connection.dialect.name == "sqlite":
        return 0
    expired = {*connection.execute(_EXPIRED).scalars()}
    silent = {*connection.execute(_SILENT).scalars()} if expired else set()
    if silent:
        _end(connection, sorted(silent), now)
    if held := expired - silent:
        connection.execute(_CUT, {"names": [APPLICATION_NAME.format(replica_id) for replica_id in held]})
    return len(silent)


def deregister(connection: sa.Connection, replica_id: int, now: datetime) -> None:
    """Let a replica go, with all that it had claimed."""
    if replica_id != NO_REPLICA:
        _end(connection, [replica_id], now)


def _end(connection: sa.Connection, ids: Sequence[int], now: datetime) -> None:
    values = {"outcome": "interrupted", "finished_at": now, "message": "the replica that asked was gone"}
    under_way = sa.and_(fetches.c.replica_id.in_(ids), fetches.c.outcome == "started")
    connection.execute(sa.update(fetches).where(under_way).values(values))
    connection.execute(sa.delete(replicas).where(replicas.c.id.in_(ids)))


def count(connection: sa.Connection) -> int:
    """Count the replicas, one at least: whoever asks."""
    return max(1, connection.execute(sa.select(sa.func.count()).select_from(replicas)).scalar_one())


def profiles_of_others(connection: sa.Connection, replica_id: int) -> set[str]:
    """Find the profiles that the other replicas see to."""
    found = connection.execute(sa.select(replicas.c.profiles).where(replicas.c.id != replica_id))
    return {name for text in found.scalars() for name in json.loads(text)}


def listed(connection: sa.Connection) -> list[Replica]:
    """List the replicas, the oldest first."""
    held: dict[int, list[str]] = {}
    busy = sa.select(duties.c.replica_id, duties.c.name).where(duties.c.kind == "profile").order_by(duties.c.name)
    for replica_id, name in connection.execute(busy.where(duties.c.replica_id != NO_REPLICA)):
        held.setdefault(replica_id, []).append(name)
    return [
        Replica(
            row.id,
            row.name,
            row.version,
            tuple(json.loads(row.profiles)),
            row.started_at,
            row.expires_at,
            tuple(held.get(row.id, ())),
        )
        for row in connection.execute(sa.select(replicas).order_by(replicas.c.id))
    ]

"""Replicas: the processes that share a store on Postgres, their leases, and the work that each has claimed.

A replica that has not renewed its lease in time is expired by the others. Its requests under way end as interrupted,
so the transaction that would save an answer of theirs rejects it. What it had claimed is free again. A replica that
starts something new locks its own row, and such a row is not expired. The database's clock counts.

A work item is what one process at a time does: the fires of a profile, or filling its gaps. It is free if nobody has
claimed it, or if its replica is gone. A store on SQLite has one owner by its lock file: there is no row.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store.db import sql
from collector.store.db.lock_file import hidden_owner_since, owner_of
from collector.store.db.schema import fetches, fires, replicas, work_items
from collector.store.db.schema import replicas as replicas_table
from collector.store.db.sql import upsert
from collector.store.errors import LeaseLost
from collector.store.ledger import fires as fires_of
from collector.timestamps import rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from collector.store.db.engine import Location
    from collector.store.db.lock_file import Owner
    from collector.store.ledger.fires import Fire

NO_REPLICA = 0
"""The id of a process that is not registered, and of the one owner of a SQLite store."""

_CLOCK: Any = sa.func.clock_timestamp(type_=sa.TIMESTAMP(timezone=True))
_THIS = replicas.c.id == sa.bindparam("replica_id")
_THIS_REPLICA = sa.select(replicas.c.id).where(_THIS).with_for_update(read=True, key_share=True)
_EXPIRED = sa.select(replicas.c.id).where(replicas.c.expires_at < _CLOCK)
_SILENT = _EXPIRED.with_for_update(skip_locked=True)

APPLICATION_NAME = "collector replica {}"
"""The application_name of what a replica writes, by its id."""
_CUT = sa.text("""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = ANY(:names) AND wait_event_type = 'Client'
  AND datname = current_database() AND usename = current_user""")


class Replica(NamedTuple):
    """A process that shares the work: *name* is host and process id, *working_on* the profiles it is at just now."""

    id: int
    name: str
    version: str
    profiles: tuple[str, ...]
    started_at: datetime
    expires_at: datetime
    working_on: tuple[str, ...] = ()


class NewReplica(NamedTuple):
    """A process that registers as a replica, with its *profiles*.

    Without renewal within *lease* it loses its claims.
    """

    name: str
    version: str
    profiles: Sequence[str]
    lease: timedelta


def register(connection: sa.Connection, candidate: NewReplica) -> int:
    """Register a replica; returns its id, which is never used again. Returns NO_REPLICA on SQLite."""
    if connection.dialect.name == "sqlite":
        return NO_REPLICA
    row = {"name": candidate.name, "version": candidate.version, "profiles": json.dumps([*candidate.profiles])}
    times = {"started_at": _CLOCK, "expires_at": _CLOCK + candidate.lease}
    inserted = connection.execute(sa.insert(replicas).values(**row, **times).returning(replicas.c.id))
    return int(inserted.scalar_one())


def check(connection: sa.Connection, replica_id: int) -> None:
    """Lock the row of a replica until the transaction ends. Raises LeaseLost if its lease has expired."""
    if replica_id != NO_REPLICA and connection.execute(_THIS_REPLICA, {"replica_id": replica_id}).first() is None:
        raise LeaseLost("this process was silent for longer than its lease, and others do its work now")


def renew_lease(connection: sa.Connection, replica_id: int, lease: timedelta) -> None:
    """Renew the lease of a replica. Raises LeaseLost if it has expired."""
    renewed = sa.update(replicas).where(replicas.c.id == replica_id).values(expires_at=_CLOCK + lease)
    if replica_id != NO_REPLICA and not connection.execute(renewed).rowcount:
        check(connection, replica_id)


def expire(connection: sa.Connection, now: datetime) -> int:
    """Remove the replicas whose leases have expired; returns their number.

    A replica that freezes during a statement keeps its row lock, because Postgres ends only idle transactions. Its
    connection is terminated here, and it is removed the next time.
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
    """Remove a replica with all its claims."""
    if replica_id != NO_REPLICA:
        _end(connection, [replica_id], now)


def _end(connection: sa.Connection, ids: Sequence[int], now: datetime) -> None:
    values = {"outcome": "interrupted", "finished_at": now, "message": "the replica that asked was gone"}
    under_way = sa.and_(fetches.c.replica_id.in_(ids), fetches.c.outcome == "started")
    connection.execute(sa.update(fetches).where(under_way).values(values))
    connection.execute(sa.delete(replicas).where(replicas.c.id.in_(ids)))


def count(connection: sa.Connection) -> int:
    """Count the replicas: at least one, the caller."""
    return max(1, connection.execute(sa.select(sa.func.count()).select_from(replicas)).scalar_one())


def profiles_of_others(connection: sa.Connection, replica_id: int) -> set[str]:
    """Return the profiles of the other replicas."""
    rows = connection.execute(sa.select(replicas.c.profiles).where(replicas.c.id != replica_id))
    return {name for text in rows.scalars() for name in json.loads(text)}


def listed(connection: sa.Connection) -> list[Replica]:
    """List the replicas, the oldest first."""
    held: dict[int, list[str]] = {}
    busy = (
        sa.select(work_items.c.replica_id, work_items.c.name)
        .where(work_items.c.kind == "profile")
        .order_by(work_items.c.name)
    )
    for replica_id, name in connection.execute(busy.where(work_items.c.replica_id != NO_REPLICA)):
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


KEY = "service"
SERVICE = "run"
"""The owner's words of the command that is a service; every other command ends by itself."""

_clock: Any = sa.func.clock_timestamp(type_=sa.TIMESTAMP(timezone=True))
_ALIVE_REPLICAS = sa.select(replicas.c.name, replicas.c.version, replicas.c.profiles, replicas.c.started_at)
_ALIVE_REPLICAS = _ALIVE_REPLICAS.where(replicas.c.expires_at >= _clock).order_by(replicas.c.id)


class ServiceHeartbeat(NamedTuple):
    """A heartbeat: *name* is host and process id, *progress_at* when work was last completed, None if never."""

    name: str
    version: str
    seen_at: datetime
    progress_at: datetime | None = None


class ServiceState(NamedTuple):
    """The service of a store, or the last one if none is *running*.

    *since* is the start of the running one, otherwise the last heartbeat of the previous one. *profiles* are the names
    of its profiles, None if unknown. *seen_at* is its last heartbeat, None before the first.
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
    """Replace the previous heartbeat; a later progress_at of another replica stays."""
    known = _last(connection)
    moments = [
        heartbeat.progress_at
        for heartbeat in (beat, known)
        if heartbeat and heartbeat.progress_at and heartbeat.progress_at <= beat.seen_at
    ]
    progress = max(moments, default=None)
    content = {
        "name": beat.name,
        "version": beat.version,
        "seen_at": rfc3339(beat.seen_at),
        "progress_at": rfc3339(progress) if progress else None,
    }
    sql.put_state(connection, KEY, json.dumps(content))


def read(connection: sa.Connection, location: Location) -> ServiceState | None:
    """Return the state of the store's service; None if none was ever seen."""
    beat = _last(connection)
    if location.path:
        owner = owner_of(location.path)
        if owner and owner.command == SERVICE:
            return _owning(owner, beat)
        since = hidden_owner_since(location.path)
        return _running(since, beat) if since and beat and beat.seen_at >= since else _gone(beat)
    alive = [row for row in connection.execute(_ALIVE_REPLICAS) if is_service(row.name)]
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
    text = sql.get_state(connection, KEY)
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
    return [row.name for row in connection.execute(_ALIVE_REPLICAS) if not is_service(row.name)]


PROFILE, HISTORY, RETENTION, CATALOGUE = "profile", "history", "retention", "catalogue"


class WorkItem(NamedTuple):
    """A work item, *name*, with its last outcome.

    *due* is the newest due time with an outcome, *success* when the work was last complete, *failures* how often in a
    row it was not, and *reason* why. From *again* on any replica may retry. *held* is whether another replica holds it.
    """

    name: str
    due: datetime | None = None
    success: datetime | None = None
    failures: int = 0
    reason: str | None = None
    again: datetime | None = None
    held: bool = False


class ClaimRequest(NamedTuple):
    """A request to claim work items: of the free ones among *names* those that *choose* returns.

    *choose* gets the number of replicas, so that each may leave a share to the others.
    """

    kind: str
    names: Sequence[str]
    now: datetime
    choose: Callable[[Sequence[WorkItem], int], Sequence[str]]
    replica_id: int


class Claim(NamedTuple):
    """All requested work items by name, and the names of those that are *mine* now."""

    work_items: Mapping[str, WorkItem]
    mine: tuple[str, ...]


_FREE = sa.select(work_items.c.name).with_for_update(skip_locked=True, of=work_items)
_HOLDER = sa.exists(sa.select(replicas_table.c.id).where(replicas_table.c.id == work_items.c.replica_id))


def _of(kind: str, names: Sequence[str]) -> sa.ColumnElement[bool]:
    return sa.and_(work_items.c.kind == kind, work_items.c.name.in_(names))


def claim(connection: sa.Connection, request: ClaimRequest) -> Claim:
    """Claim work items until they are finished or released, or the replica is gone.

    Raises LeaseLost if its lease has expired.
    """
    check(connection, request.replica_id)
    expire(connection, request.now)
    _add(connection, request)
    taken = sa.and_(work_items.c.replica_id != request.replica_id, _HOLDER)
    free = _FREE.where(_of(request.kind, request.names), sa.not_(taken)).order_by(work_items.c.name)
    names = {*connection.execute(free).scalars()}
    known = _read(connection, request, names)
    chosen = tuple(request.choose([item for item in known.values() if not item.held], count(connection)))
    if chosen:
        mine = sa.update(work_items).where(_of(request.kind, chosen)).values(replica_id=request.replica_id)
        connection.execute(mine)
    return Claim(known, chosen)


def _read(connection: sa.Connection, request: ClaimRequest, free: set[str]) -> dict[str, WorkItem]:
    """Read the work items; the free ones are locked."""
    due = sa.select(fires.c.due).where(fires.c.profile == work_items.c.name, *fires_of.believed(request.now))
    newest = due.order_by(fires.c.due.desc()).limit(1).scalar_subquery()
    columns = [work_items.c[name] for name in ("success_at", "failures", "reason", "again_at")]
    rows = connection.execute(sa.select(work_items.c.name, newest, *columns).where(_of(request.kind, request.names)))
    known = {row[0]: WorkItem(*row)._replace(held=row[0] not in free) for row in rows}
    return {name: known[name] for name in request.names}


def _add(connection: sa.Connection, request: ClaimRequest) -> None:
    """Add new work items, with the outcome of their profiles' last fires."""
    known = {*connection.execute(sa.select(work_items.c.name).where(_of(request.kind, request.names))).scalars()}
    rows = []
    for name in sorted({*request.names} - known):
        last = fires_of.last(connection, name, request.now) if request.kind == PROFILE else None
        failed = last is not None and last.outcome == "failed"
        rows.append(
            {
                "kind": request.kind,
                "name": name,
                "replica_id": NO_REPLICA,
                "success_at": last.finished_at if last and not failed else None,
                "failures": int(failed),
                "reason": last.message if last else None,
                "again_at": None,
            }
        )
    if rows:
        connection.execute(upsert(connection, work_items).on_conflict_do_nothing(), rows)


_FINISH = (
    sa.update(work_items)
    .where(work_items.c.kind == PROFILE, work_items.c.name == sa.bindparam("finished"))
    .values(
        replica_id=NO_REPLICA,
        **{name: sa.bindparam(name) for name in ("success_at", "failures", "reason", "again_at")},
    )
)


def finish(connection: sa.Connection, outcomes: Sequence[Fire], done: Sequence[WorkItem], replica_id: int) -> None:
    """Record the outcomes of due times and the state of the profiles' work items, and release them.

    Repeating it changes nothing. Raises LeaseLost, and records nothing, if one of them is not this replica's.
    """
    check(connection, replica_id)
    fires_of.record(connection, outcomes)
    after = {item.name: _outcome(item) for item in sorted(done, key=lambda item: item.name)}
    held = sa.select(work_items.c.name).where(_of(PROFILE, [*after]), work_items.c.replica_id == replica_id)
    mine = {*connection.execute(held.order_by(work_items.c.name).with_for_update()).scalars()}
    if mine:
        rows = [{"finished": name, **values} for name, values in after.items() if name in mine]
        connection.execute(_FINISH, rows)
    for name in after.keys() - mine:
        if not _is_finished(connection, _of(PROFILE, [name]), after[name]):
            raise LeaseLost(f"profile {name} is another replica's by now")


def _outcome(item: WorkItem) -> dict[str, object]:
    """Return the columns of a work item that its outcome changes."""
    return {"success_at": item.success, "failures": item.failures, "reason": item.reason, "again_at": item.again}


def _is_finished(connection: sa.Connection, this: sa.ColumnElement[bool], values: Mapping[str, object]) -> bool:
    """Return whether the work item already has these *values*: then the reply to an earlier COMMIT was lost."""
    rows = connection.execute(sa.select(*(work_items.c[name] for name in values)).where(this))
    return [tuple(row) for row in rows] == [tuple(values.values())]


def release(connection: sa.Connection, kind: str, names: Sequence[str], replica_id: int) -> None:
    """Release work items that this replica holds."""
    mine = sa.and_(_of(kind, names), work_items.c.replica_id == replica_id)
    connection.execute(sa.update(work_items).where(mine).values(replica_id=NO_REPLICA))

"""Duties: what must be seen to by one process at a time, who is at it, and how it fared when it was last done.

A profile's fires are a duty, and so is filling its gaps. A duty is free where nobody has claimed it, or somebody who is
no longer there, see `replicas`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.db.schema import duties, fires
from collector.store.db.schema import replicas as replicas_table
from collector.store.db.sql import upsert
from collector.store.errors import LeaseLost
from collector.store.ledger import fires as fires_of
from collector.store.ledger import replicas
from collector.store.ledger.replicas import NO_REPLICA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from collector.store.ledger.fires import Fire

PROFILE, HISTORY, RETENTION = "profile", "history", "retention"


@dataclass(frozen=True, slots=True)
class WorkItem:
    """How the duty *name* stands.

    *due* is the newest due moment that is accounted for, *success* when it was last done with nothing missing,
    *failures* how often in a row it was not, and *reason* why. From *again* on anybody may try once more. *held* tells
    whether another replica is at it.
    """

    name: str
    due: datetime | None = None
    success: datetime | None = None
    failures: int = 0
    reason: str | None = None
    again: datetime | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What a replica would claim: of the free duties among *names* those that *choose* picks.

    *choose* is told how many replicas there are, so that each may leave the others their share.
    """

    kind: str
    names: Sequence[str]
    now: datetime
    choose: Callable[[Sequence[WorkItem], int], Sequence[str]]
    replica_id: int


@dataclass(frozen=True, slots=True)
class Claim:
    """All *duties* that were wished for, by name, and which of them are *mine* now."""

    duties: Mapping[str, WorkItem]
    mine: tuple[str, ...]


_FREE = sa.select(duties.c.name).with_for_update(skip_locked=True, of=duties)
_HOLDER = sa.exists(sa.select(replicas_table.c.id).where(replicas_table.c.id == duties.c.replica_id))


def _of(kind: str, names: Sequence[str]) -> sa.ColumnElement[bool]:
    return sa.and_(duties.c.kind == kind, duties.c.name.in_(names))


def claim(connection: sa.Connection, wish: ClaimRequest) -> Claim:
    """Claim duties until they are `finished` or `released`, or the replica is gone; LeaseLost where it is."""
    replicas.check(connection, wish.replica_id)
    replicas.expire(connection, wish.now)
    _add(connection, wish)
    taken = sa.and_(duties.c.replica_id != wish.replica_id, _HOLDER)
    free = _FREE.where(_of(wish.kind, wish.names), sa.not_(taken)).order_by(duties.c.name)
    names = {*connection.execute(free).scalars()}
    known = _read(connection, wish, names)
    chosen = tuple(wish.choose([duty for duty in known.values() if not duty.held], replicas.count(connection)))
    if chosen:
        mine = sa.update(duties).where(_of(wish.kind, chosen)).values(replica_id=wish.replica_id)
        connection.execute(mine)
    return Claim(known, chosen)


def _read(connection: sa.Connection, wish: ClaimRequest, free: set[str]) -> dict[str, WorkItem]:
    """Read how the duties stand, now that those that are free stand still."""
    due = sa.select(fires.c.due).where(fires.c.profile == duties.c.name, *fires_of.believed(wish.now))
    newest = due.order_by(fires.c.due.desc()).limit(1).scalar_subquery()
    columns = [duties.c[name] for name in ("success_at", "failures", "reason", "again_at")]
    found = connection.execute(sa.select(duties.c.name, newest, *columns).where(_of(wish.kind, wish.names)))
    known = {row[0]: replace(WorkItem(*row), held=row[0] not in free) for row in found}
    return {name: known[name] for name in wish.names}


def _add(connection: sa.Connection, wish: ClaimRequest) -> None:
    """Put duties on record that are new, as their profiles' last fires tell of them."""
    known = {*connection.execute(sa.select(duties.c.name).where(_of(wish.kind, wish.names))).scalars()}
    rows = []
    for name in sorted({*wish.names} - known):
        last = fires_of.last(connection, name, wish.now) if wish.kind == PROFILE else None
        failed = last is not None and last.outcome == "failed"
        rows.append(
            {
                "kind": wish.kind,
                "name": name,
                "replica_id": NO_REPLICA,
                "success_at": last.finished_at if last and not failed else None,
                "failures": int(failed),
                "reason": last.message if last else None,
                "again_at": None,
            }
        )
    if rows:
        connection.execute(upsert(connection, duties).on_conflict_do_nothing(), rows)


def finish(connection: sa.Connection, outcomes: Sequence[Fire], done: Sequence[WorkItem], replica_id: int) -> None:
    """Record what became of due moments and how the profiles' duties stand now, and free them.

    Repeating it changes nothing. LeaseLost, and nothing is recorded, where one of them is not the replica's.
    """
    replicas.check(connection, replica_id)
    fires_of.record(connection, outcomes)
    for duty in sorted(done, key=lambda duty: duty.name):
        this = _of(PROFILE, [duty.name])
        values = {"success_at": duty.success, "failures": duty.failures, "reason": duty.reason, "again_at": duty.again}
        mine = sa.update(duties).where(this, duties.c.replica_id == replica_id)
        ended = connection.execute(mine.values(replica_id=NO_REPLICA, **values))
        if not ended.rowcount and not _stands(connection, this, values):
            raise LeaseLost(f"profile {duty.name} is another replica's by now")


def _stands(connection: sa.Connection, this: sa.ColumnElement[bool], values: Mapping[str, object]) -> bool:
    """Tell whether a duty was finished just so already, and the reply to that COMMIT lost."""
    found = connection.execute(sa.select(*(duties.c[name] for name in values)).where(this))
    return [tuple(row) for row in found] == [tuple(values.values())]


def release(connection: sa.Connection, kind: str, names: Sequence[str], replica_id: int) -> None:
    """Free duties, if they are the replica's."""
    mine = sa.and_(_of(kind, names), duties.c.replica_id == replica_id)
    connection.execute(sa.update(duties).where(mine).values(replica_id=NO_REPLICA))

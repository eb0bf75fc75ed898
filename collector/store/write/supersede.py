"""Series whose values are relative to one whole answer: only the latest answer's points stand, the others are past.

`MIN_MAX` and its like scale over one response, so points of two responses never make one history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.db.schema import fetches, points, revisions
from collector.store.series import identity

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from collector.model import Window

_MOVED = ("series_id", "timestamp", "replaced_by", "value", "fetch_id", "seen_at", "replaced_at")


def supersede(
    connection: sa.Connection,
    series_id: int,
    window: Window,
    vanished: Collection[datetime],
    by: tuple[int, datetime],
) -> None:
    """Move what an answer over *window* did not speak of, or no longer has, into the revisions.

    *by* is the answer's fetch and the moment it came. If the fetch of an old value is no longer on record, the value
    counts as seen since its bucket began.
    """
    fetch_id, now = by
    elsewhere = sa.or_(
        points.c.timestamp < window.start, points.c.timestamp >= window.end, points.c.timestamp.in_(vanished)
    )
    past = sa.and_(points.c.series_id == series_id, elsewhere)
    moment = sa.literal(now, revisions.c.replaced_at.type)
    seen_at = sa.select(fetches.c.finished_at).where(fetches.c.id == points.c.fetch_id).scalar_subquery()
    kept = (points.c.series_id, points.c.timestamp, sa.literal(fetch_id), points.c.value, points.c.fetch_id)
    moved = sa.select(*kept, sa.func.coalesce(seen_at, points.c.timestamp), moment).where(past)
    connection.execute(sa.insert(revisions).from_select(_MOVED, moved))
    gone = connection.execute(sa.delete(points).where(past)).rowcount
    identity.count_points(connection, {series_id: -gone})

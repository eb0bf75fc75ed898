"""Takes values out of date ranges, so that each checksum still tells the truth about what is left."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import from_epoch
from collector.store.checksum import answered_range, checksum
from collector.store.column_types import epoch
from collector.store.errors import StoreDamaged
from collector.store.schema import date_ranges, points, revisions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.store.checksum import Answered

    Named = Sequence[datetime | None]


async def amend(
    connection: AsyncConnection,
    series_id: int,
    which: sa.ColumnElement[bool],
    stays: Callable[[int, int], bool],
    kept_from: int | None = None,
) -> None:
    """Write the date ranges of a series *which* are chosen as if only what *stays* had been written there.

    To be called before anything is deleted. *stays* is asked for (fetch_id, timestamp); *kept_from*, in epoch seconds,
    is where a range begins that began before. StoreDamaged where a checksum does not agree now: damage is not to be
    signed.
    """
    ranges = await _ranges(connection, series_id, which)
    if not ranges:
        return
    written = await _written(connection, series_id, ranges)
    rows = []
    for answered, named, kept in ranges:
        values = [(t, v) for t, v in written[answered.fetch_id] if answered.start <= t < answered.end]
        if checksum(answered, *_columns(values)) != kept:
            brought = f"what fetch {answered.fetch_id} brought is not what it was"
            raise StoreDamaged(
                f"nothing is deleted of series {series_id}, for {brought}: `collector db verify` says more"
            )
        start = max(answered.start, kept_from or answered.start)
        amended = answered_range(series_id, answered.fetch_id, start, answered.end, named)
        left = [(t, v) for t, v in values if stays(answered.fetch_id, t)]
        row = {"e": from_epoch(answered.end), "f": answered.fetch_id, "a": from_epoch(start)}
        rows.append({**row, "c": checksum(amended, *_columns(left))})
    table = date_ranges.c
    same = (table.series_id == series_id, table.end == sa.bindparam("e"), table.fetch_id == sa.bindparam("f"))
    update = sa.update(date_ranges).where(*same)
    await connection.execute(update.values(start=sa.bindparam("a"), checksum=sa.bindparam("c")), rows)


async def _ranges(
    connection: AsyncConnection, series_id: int, which: sa.ColumnElement[bool]
) -> list[tuple[Answered, Named, int]]:
    table = date_ranges.c
    columns = (table.fetch_id, epoch(table.start).label("a"), epoch(table.end).label("b"))
    select = sa.select(*columns, table.start_time, table.end_time, table.checksum)
    found = await connection.execute(select.where(table.series_id == series_id, which))
    return [(answered_range(series_id, f, a, b, named), named, kept) for f, a, b, *named, kept in found]


async def _written(
    connection: AsyncConnection, series_id: int, ranges: Sequence[tuple[Answered, Named, int]]
) -> dict[int, list[tuple[int, float]]]:
    """What the fetches of *ranges* wrote where these lie: (timestamp, value), ascending, by fetch_id."""
    wanted = {answered.fetch_id for answered, *_ in ranges}
    first = from_epoch(min(answered.start for answered, *_ in ranges))
    last = from_epoch(max(answered.end for answered, *_ in ranges))
    found: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for table in (points, revisions):
        columns = (table.c.fetch_id, epoch(table.c.timestamp), table.c.value)
        inside = (table.c.series_id == series_id, table.c.timestamp >= first, table.c.timestamp < last)
        for fetch_id, timestamp, value in await connection.execute(sa.select(*columns).where(*inside)):
            if fetch_id in wanted:
                found[fetch_id].append((timestamp, value))
    for values in found.values():
        values.sort()
    return found


def _columns(pairs: Sequence[tuple[int, Any]]) -> tuple[list[int], list[Any]]:
    return [timestamp for timestamp, _ in pairs], [value for _, value in pairs]

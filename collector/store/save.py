"""One answer, saved whole: read what is stored in its windows, decide what changes, write only that.

read                             decide (pure)        write
series, newer ranges, points  →  diff per series  →  points, revisions, marks, date ranges, annotations, the fetch
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.model import from_epoch, is_absolute
from collector.store import fetches, points, relative, series
from collector.store.annotations import save as save_annotations
from collector.store.checksum import Answered, checksum, microseconds, written
from collector.store.column_types import epoch
from collector.store.diff import Difference, diff
from collector.store.fetches import Saved
from collector.store.points import Span
from collector.store.schema import date_ranges
from collector.store.schema import fetches as fetches_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.model import Answer, Batch, Points, SeriesQuery, Window
    from collector.store.fetches import Arrival

    Ranges = dict[int, list[tuple[int, int]]]

# Statements of every answer are built once: building one costs several times its execution.
_NEWER = (
    sa.select(date_ranges.c.series_id, epoch(date_ranges.c.start), epoch(date_ranges.c.end))
    .join(fetches_table, fetches_table.c.id == date_ranges.c.fetch_id)
    .where(fetches_table.c.last_updated > sa.bindparam("last_updated"))
    .where(date_ranges.c.series_id.in_(sa.bindparam("ids", expanding=True)))
)
_NOTE = sa.insert(date_ranges)


async def save(connection: AsyncConnection, arrival: Arrival) -> Saved:
    """Save an answer and end its fetch; a fetch that is saved already gives what it did then."""
    batch, answer, now = arrival.batch, arrival.answer, arrival.now
    done = await fetches.recorded(connection, arrival.fetch_id)
    if done is not None:
        return done
    queries = list(dict.fromkeys(piece.series for piece in batch.slices))
    ids = await series.resolve(connection, queries, answer.meta, now)
    differences = await _compare(connection, batch, answer, ids)
    await _write(connection, differences, arrival.fetch_id, now)
    if not is_absolute(answer.meta.normalization):
        await _supersede(connection, arrival, ids, differences)
    await _note_ranges(connection, arrival, ids, differences)
    await save_annotations(connection, batch, answer.meta, now)
    by_series = {query: _count(differences[series_id]) for query, series_id in ids.items()}
    saved = replace(sum(by_series.values(), Saved()), by_series=by_series)
    await fetches.succeed(connection, arrival, saved)
    return saved


async def _compare(
    connection: AsyncConnection, batch: Batch, answer: Answer, ids: Mapping[SeriesQuery, int]
) -> dict[int, Difference]:
    windows: dict[int, list[Window]] = defaultdict(list)
    answered: dict[int, dict[int, float]] = defaultdict(dict)
    for piece, found in zip(batch.slices, answer.series, strict=True):
        windows[ids[piece.series]].append(piece.window)
        answered[ids[piece.series]].update(_values(found, piece.window))
    spans = [Span(i, start, end) for i, found in windows.items() for start, end in _merged(found)]
    stored = await points.read(connection, spans)
    missed = await points.read_vanished(connection, spans) if stored else {}
    newer = await _newer_ranges(connection, list(windows), answer.meta.last_updated) if stored else {}
    return {i: diff(stored.get(i, {}), answered[i], missed.get(i, ()), newer.get(i, ())) for i in windows}


async def _supersede(
    connection: AsyncConnection, arrival: Arrival, ids: Mapping[SeriesQuery, int], differences: Mapping[int, Difference]
) -> None:
    """Let the one slice of a relative answer stand alone."""
    (piece,) = arrival.batch.slices
    series_id = ids[piece.series]
    vanished = [from_epoch(timestamp) for timestamp in differences[series_id].vanished]
    await relative.supersede(connection, series_id, piece.window, vanished, (arrival.fetch_id, arrival.now))


def _values(found: Points, window: Window) -> Iterable[tuple[int, float]]:
    """Pair timestamps and values, with one zero: SQLite keeps no negative one."""
    timestamps, start, end = found.timestamps, window.start.timestamp(), window.end.timestamp()
    if timestamps and not (start <= timestamps[0] and timestamps[-1] < end):
        raise ValueError(f"a point outside of {window}")
    return zip(timestamps, [value + 0.0 for value in found.values], strict=True)


def _merged(windows: Iterable[Window]) -> list[tuple[int, int]]:
    """Join windows that overlap or touch, so that no stored point is read twice."""
    merged: list[tuple[int, int]] = []
    for window in sorted(windows):
        start, end = int(window.start.timestamp()), int(window.end.timestamp())
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


async def _newer_ranges(connection: AsyncConnection, ids: Sequence[int], last_updated: datetime) -> Ranges:
    """The ranges that answers with a later lastUpdated have spoken of; hardly ever any."""
    found = await connection.execute(_NEWER, {"last_updated": last_updated, "ids": ids})
    ranges: Ranges = defaultdict(list)
    for series_id, start, end in found:
        ranges[series_id].append((start, end))
    return ranges


async def _write(
    connection: AsyncConnection, differences: Mapping[int, Difference], fetch_id: int, now: datetime
) -> None:
    each = sorted(differences.items())
    await points.insert(connection, [(i, t, v, fetch_id) for i, d in each for t, v in d.inserted])
    await points.revise(connection, [(i, *revised) for i, d in each for revised in d.revised], fetch_id, now)
    await points.mark_vanished(connection, [(i, t) for i, d in each for t in d.vanished], fetch_id, now)
    await points.unmark_vanished(connection, [(i, t) for i, d in each for t in d.returned])
    await series.count_points(connection, {i: len(d.inserted) for i, d in each})


def _count(difference: Difference) -> Saved:
    inserted, revised, vanished = (len(getattr(difference, name)) for name in ("inserted", "revised", "vanished"))
    return Saved(inserted, revised, difference.unchanged, vanished)


async def _note_ranges(
    connection: AsyncConnection, arrival: Arrival, ids: Mapping[SeriesQuery, int], differences: Mapping[int, Difference]
) -> None:
    """Note which buckets were answered for, with the checksum of what was written there."""
    pieces = zip(arrival.batch.slices, arrival.answer.meta.date_ranges, strict=True)
    rows = {}
    for piece, (start_time, end_time) in pieces:
        series_id, window = ids[piece.series], piece.window
        start, end = int(window.start.timestamp()), int(window.end.timestamp())
        adjusted = microseconds(start_time), microseconds(end_time)
        answered = Answered(series_id, arrival.fetch_id, start, end, *adjusted)
        rows[series_id, end] = {
            "series_id": series_id,
            "fetch_id": arrival.fetch_id,
            "start": window.start,
            "end": window.end,
            "start_time": start_time,
            "end_time": end_time,
            "checksum": checksum(answered, *written(differences[series_id], start, end)),
        }
    await connection.execute(_NOTE, list(rows.values()))

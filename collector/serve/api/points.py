"""`/api/v1/points`: a page of points, all of them as CSV, or several series downsampled for a chart."""

from __future__ import annotations

import logging
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from collector.errors import did_you_mean
from collector.report.export import LICENCE, export_csv
from collector.report.gaps import why_any_outside
from collector.serve.api.parameters import RequestRejected, number, read_cursor, write_cursor
from collector.store import Block, PointCursor, PointQuery, StoreError, why_another_unit
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from collector.serve.api.parameters import QueryParameters
    from collector.store import Downsampled, SelectedSeries, Store

log = logging.getLogger(__name__)

MAX_ROWS = 10_000
MAX_COLUMNS = 5_000
_MAX_CELLS = 200_000
_MAX_ASKED_AT = 20
ASKED_AT_HEADER = "X-Asked-At"


async def select(store: Store, parameters: QueryParameters) -> PointQuery:
    """Return the requested selection. Raises RequestRejected (404) for an unknown profile or series."""
    start, end = parameters.period()
    selection = PointQuery(
        profiles=parameters.all_of("profile"),
        series=parameters.all_of("series"),
        start=start,
        end=end,
        as_of=parameters.time("as_of"),
    )
    if selection.profiles or selection.series:
        rows = await store.list_series()
        profiles, labels = {row.profile for row in rows if row.profile}, {row.label for row in rows}
        for what, names, known in (("profile", selection.profiles, profiles), ("series", selection.series, labels)):
            for name in names:
                if name not in known:
                    raise RequestRejected(f"no {what} {name!r}{did_you_mean(name, known)}", HTTPStatus.NOT_FOUND)
    return selection


def _check_inside(store: Store, selection: PointQuery, series: Sequence[SelectedSeries]) -> None:
    """Raise RequestRejected if the range is outside a snapshot of *series*."""
    if reason := why_any_outside(series, selection.start, selection.end, selection.as_of or store.clock()):
        raise RequestRejected(reason)


async def list_points(store: Store, parameters: QueryParameters) -> dict[str, Any]:
    """Return one page of points, by profile, position of the label, and time."""
    selection = await select(store, parameters)
    if selection.start or selection.end:
        _check_inside(store, selection, await store.selected(selection))
    limit, after = parameters.number("limit", MAX_ROWS, 1_000), parameters.first("after")
    cursor = PointCursor(*read_cursor(after, str, str, int)) if after is not None else None
    rows: list[tuple[SelectedSeries, int, float]] = []
    try:
        async with aclosing(store.select_blocks(selection, cursor)) as blocks:
            async for series, block in blocks:
                rows += [(series, timestamp, value) for timestamp, value in block]
                if len(rows) > limit:
                    break
    except (LookupError, OverflowError, OSError):
        raise RequestRejected("after: the point of this cursor is not in the store") from None
    following = None
    if len(rows) > limit:
        series, timestamp, _ = rows[limit - 1]
        following = write_cursor(series.profile, series.label, timestamp)
    points = [
        {
            "profile": series.profile,
            "series": series.label,
            "timestamp": rfc3339(from_epoch(timestamp)),
            "value": int(value) if value.is_integer() else value,
            "unit": series.unit,
            **({"asked_at": rfc3339(series.asked_at)} if series.asked_at else {}),
        }
        for series, timestamp, value in rows[:limit]
    ]
    return {"points": points, "next": following}


async def downsample_points(store: Store, parameters: QueryParameters) -> dict[str, Any]:
    """Return each series downsampled to about `thin` columns: minimum, maximum and mean of each, null without points.

    With `buckets=common` all series have one bucket width and one unit; a series that cannot have them says why.
    """
    selection, columns = await select(store, parameters), parameters.number("thin", MAX_COLUMNS, 1_000)
    common = parameters.word("buckets", ("own", "common")) == "common"
    downsampled = await store.downsample(selection, columns, common=common)
    if sum(len(each.columns) for each in downsampled) > _MAX_CELLS:
        raise RequestRejected(f"more than {_MAX_CELLS} columns: request fewer series or fewer columns")
    measure = _common_measure(downsampled, selection.series) if common else None
    return {"series": [_chart_series(each, measure) for each in downsampled]}


def _common_measure(downsampled: Sequence[Downsampled], order: Sequence[str]) -> tuple[str, str] | None:
    """Return normalization and unit of the first label, in *order*, that has a column."""
    positions = {label: position for position, label in enumerate(order)}
    with_columns = [each.series for each in downsampled if each.columns]
    first = min(with_columns, key=lambda series: positions.get(series.label, len(positions)), default=None)
    return first.measure if first else None


def _chart_series(downsampled: Downsampled, measure: tuple[str, str] | None) -> dict[str, Any]:
    """Return the document of one series; *measure* is the one that the chart shows, None for any."""
    series, refused = downsampled.series, downsampled.bucket.refused
    if measure and not refused:  # because a label whose unit has changed has columns in both
        refused = why_another_unit(series.measure, measure)
    columns = () if refused else downsampled.columns
    first = columns[0].start if columns else 0
    by_position = {(column.start - first) // downsampled.width: column for column in columns}
    dense = [by_position.get(position) for position in range(max(by_position, default=-1) + 1)]
    return {
        "profile": series.profile,
        "series": series.label,
        "agg_interval": series.agg_interval.value,
        "bucket": downsampled.bucket.interval.value,
        "refused": refused,
        "normalization": series.normalization,
        "unit": series.unit,
        "start": rfc3339(from_epoch(first)) if columns else None,
        "column_seconds": downsampled.width,
        "thinned": downsampled.width > downsampled.bucket.interval.seconds,
        "least": [number(column.least) if column else None for column in dense],
        "most": [number(column.most) if column else None for column in dense],
        "mean": [number(float(f"{column.mean:.9g}")) if column else None for column in dense],
        "points": [column.points if column else 0 for column in dense],
        **({"asked_at": rfc3339(series.asked_at)} if series.asked_at else {}),
        **({"covers": [rfc3339(series.snapshot.start), rfc3339(series.snapshot.end)]} if series.snapshot else {}),
    }


def _asked_at_header(snapshots: Sequence[SelectedSeries]) -> str:
    """Return the header with when each snapshot was requested: `label: time; …`, percent-encoded."""
    texts = [f"{quote(each.label, safe=' /')}: {rfc3339(each.asked_at)}" for each in snapshots if each.asked_at]
    header = "; ".join(texts[:_MAX_ASKED_AT])
    return header if len(texts) <= _MAX_ASKED_AT else f"{header}; and {len(texts) - _MAX_ASKED_AT} more"


async def stream_csv(store: Store, parameters: QueryParameters, request: web.Request) -> web.StreamResponse:
    """Stream the selected points as CSV. Headers have the licence, and when snapshots were requested.

    If the store fails on the way, close the connection, so that half a file does not look complete.
    """
    selection = await select(store, parameters)
    series = await store.selected(selection)
    _check_inside(store, selection, series)
    snapshots = [each for each in series if each.snapshot]
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="points.csv"',
            "X-Licence": LICENCE,
            **({ASKED_AT_HEADER: _asked_at_header(snapshots)} if snapshots else {}),
        }
    )
    async with aclosing(store.select_blocks(selection)) as blocks:
        parts = export_csv(_with_labels(blocks))
        head = await anext(parts) + await anext(parts, b"")
        await response.prepare(request)
        try:
            await response.write(head)
            async for part in parts:
                await response.write(part)
        except StoreError as error:
            log.warning("http_request_failed", extra={"outcome": "cut off", "reason": str(error)})
            if request.transport:
                request.transport.abort()
            return response
    await response.write_eof()
    return response


async def _with_labels(
    blocks: AsyncIterator[tuple[SelectedSeries, Sequence[tuple[int, float]]]],
) -> AsyncIterator[Block]:
    async for series, block in blocks:
        yield Block(series.profile, series.label, block, series.unit, series.normalization)

"""`/api/v1/points`: a page of points, all of them as CSV, or several series downsampled for a chart."""

from __future__ import annotations

import json
import logging
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from collector.errors import did_you_mean
from collector.report.export import LICENCE, export_csv, point_objects
from collector.report.gaps import why_any_outside
from collector.serve.api.parameters import RequestRejected, number, read_cursor, write_cursor
from collector.store import Block, PointCursor, PointQuery, Run, StoreError, why_another_unit
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from datetime import datetime

    from collector.serve.api.parameters import QueryParameters
    from collector.store import Downsampled, ReadView, SelectedSeries, Selection, Store

    Rows = Sequence[tuple[int, float]]

log = logging.getLogger(__name__)

MAX_ROWS = 10_000
MAX_COLUMNS = 5_000
_MAX_CELLS = 200_000
_MAX_ASKED_AT = 20
ASKED_AT_HEADER = "X-Asked-At"


async def select(store: Store, parameters: QueryParameters) -> PointQuery:
    """Return the requested selection. Raises RequestRejected (404) for an unknown profile or series."""
    chosen = point_query(parameters)
    if chosen.profiles or chosen.series:
        await store.with_read_view(partial(select_known, chosen=chosen))
    return chosen


def point_query(parameters: QueryParameters) -> PointQuery:
    """Return the requested selection of points."""
    start, end = parameters.period()
    return PointQuery(
        profiles=parameters.all_of("profile"),
        series=parameters.all_of("series"),
        start=start,
        end=end,
        as_of=parameters.time("as_of"),
    )


def select_known(view: ReadView, chosen: PointQuery) -> Selection:
    """Find the series of a selection. Raises RequestRejected (404) for an unknown profile or series."""
    selection = view.select_series(chosen)
    profiles, labels = {series.profile for series in selection.series}, {series.label for series in selection.series}
    if profiles.issuperset(chosen.profiles) and labels.issuperset(chosen.series):
        return selection
    rows = view.list_series(sums=True)  # because a former name is known, and a name that another one excludes
    profiles, labels = {row.profile for row in rows if row.profile}, {row.label for row in rows}
    for what, names, known in (("profile", chosen.profiles, profiles), ("series", chosen.series, labels)):
        for name in names:
            if name not in known:
                raise RequestRejected(f"no {what} {name!r}{did_you_mean(name, known)}", HTTPStatus.NOT_FOUND)
    return selection


def _check_inside(series: Sequence[SelectedSeries], selection: PointQuery, now: datetime) -> None:
    """Raise RequestRejected if the range is outside a snapshot of *series*."""
    if reason := why_any_outside(series, selection.start, selection.end, selection.as_of or now):
        raise RequestRejected(reason)


async def list_points(store: Store, parameters: QueryParameters) -> str:
    """Return one page of points as JSON, by profile, position of the label, and time."""
    work = partial(_list_points, chosen=point_query(parameters), parameters=parameters, now=store.clock())
    return await store.with_read_view(work)


def _list_points(view: ReadView, chosen: PointQuery, parameters: QueryParameters, now: datetime) -> str:
    selection = select_known(view, chosen)
    if chosen.start or chosen.end:
        _check_inside(selection.series, chosen, now)
    limit, after = parameters.number("limit", MAX_ROWS, 1_000), parameters.first("after")
    cursor = PointCursor(*read_cursor(after, str, str, int)) if after is not None else None
    try:
        blocks = view.page(selection, cursor, limit + 1)  # one more shows whether there is a next page
    except (LookupError, OverflowError, OSError):
        raise RequestRejected("after: the point of this cursor is not in the store") from None
    following = None
    if sum(len(block) for _, block in blocks) > limit:
        last_series, last_block = blocks.pop()
        if len(last_block) > 1:
            blocks.append((last_series, last_block[:-1]))
        following = _write_cursor(*blocks[-1])
    objects = ",".join([text for series, block in blocks for text in _objects(series, block)])
    unknown = ""
    if any(series.query and series.query.group for series in selection.series):
        last = PointCursor(*read_cursor(following, str, str, int)) if following is not None else None
        windows = _unknown(view, selection, cursor, last)
        unknown = f',"unknown":{json.dumps(windows, ensure_ascii=False, separators=(",", ":"))}'
    return f'{{"points":[{objects}]{unknown},"next":{json.dumps(following)}}}'


def _unknown(
    view: ReadView, selection: Selection, after: PointCursor | None, last: PointCursor | None
) -> list[dict[str, Any]]:
    """Return where groups are unknown in the part of a selection behind the point *after* up to the point *last*."""
    places = [(series.profile, series.label) for series in selection.series]
    first, end = (places.index(point[:2]) if point else None for point in (after, last))
    windows = []
    for at in range(first or 0, len(places) if end is None else end + 1):
        beyond = after.timestamp if after and at == first else None
        until = last.timestamp if last and at == end else None
        for window in view.unknown_windows(selection, selection.series[at], beyond, until):
            edges = {"start": rfc3339(from_epoch(window.start)), "end": rfc3339(from_epoch(window.end))}
            label = {"profile": selection.series[at].profile, "series": selection.series[at].label}
            windows.append(label | edges | {"at_most": number(window.most)})
    return windows


def _write_cursor(series: SelectedSeries, block: Run | Rows) -> str:
    """Return the cursor of the last point of a block."""
    timestamp = block.timestamps[-1] if isinstance(block, Run) else block[-1][0]
    return write_cursor(series.profile, series.label, timestamp)


def _objects(series: SelectedSeries, block: Run | Rows) -> Iterator[str]:
    return point_objects(block, series.profile, series.label, series.unit, series.asked_at)


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
        "mean": [number(float(f"{column.mean:.12g}")) if column else None for column in dense],
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
    _check_inside(series, selection, store.clock())
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

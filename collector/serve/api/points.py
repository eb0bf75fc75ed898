"""`points`: page by page, all of them as CSV, or several series at once thinned to what a chart can show."""

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
from collector.serve.api.parameters import RequestRejected, number, page, read_cursor, write_cursor
from collector.store import Block, PointCursor, PointQuery, StoreError, why_another_unit
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from collector.serve.api.parameters import QueryParameters
    from collector.store import Downsampled, SelectedSeries, Store

log = logging.getLogger(__name__)

MAX_ROWS = 10_000
MAX_COLUMNS = 5_000
_MAX_CELLS = 200_000
_MAX_MOMENTS = 20
ASKED_AT_HEADER = "X-Asked-At"


async def select(store: Store, parameters: QueryParameters) -> PointQuery:
    """Return the requested selection. Raises RequestRejected (404) for an unknown profile or series."""
    start, end = parameters.period()
    chosen = PointQuery(
        profiles=parameters.all_of("profile"),
        series=parameters.all_of("series"),
        start=start,
        end=end,
        as_of=parameters.time("as_of"),
    )
    if chosen.profiles or chosen.series:
        rows = await store.list_series()
        _check("profile", chosen.profiles, {row.profile for row in rows if row.profile})
        _check("series", chosen.series, {row.label for row in rows})
    return chosen


def _check(what: str, names: Sequence[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise RequestRejected(f"no {what} {name!r}{did_you_mean(name, known)}", HTTPStatus.NOT_FOUND)


def _check_inside(store: Store, chosen: PointQuery, found: Sequence[SelectedSeries]) -> None:
    """Raise RequestRejected if the range is outside a snapshot of *found*."""
    if refused := why_any_outside(found, chosen.start, chosen.end, chosen.as_of or store.clock()):
        raise RequestRejected(refused)


async def list_points(store: Store, parameters: QueryParameters) -> dict[str, Any]:
    """Return one page of points, by profile, position of the label, and time."""
    chosen = await select(store, parameters)
    if chosen.start or chosen.end:
        _check_inside(store, chosen, await store.selected(chosen))
    limit, after = parameters.number("limit", MAX_ROWS, 1_000), parameters.first("after")
    place = PointCursor(*read_cursor(after, str, str, int)) if after is not None else None
    rows: list[PointCursor] = []
    values: list[tuple[float, str]] = []
    asked_at: dict[tuple[str, str], datetime] = {}
    try:
        async with aclosing(store.select_blocks(chosen, place)) as blocks:
            async for one, block in blocks:
                asked_at |= {(one.profile, one.label): one.asked_at} if one.asked_at else {}
                rows += [PointCursor(one.profile, one.label, timestamp) for timestamp, _ in block]
                values += [(value, one.unit) for _, value in block]
                if len(rows) > limit:
                    break
    except (LookupError, OverflowError, OSError):
        raise RequestRejected("after: the point of this cursor is not in the store") from None
    following = write_cursor(*rows[limit - 1]) if len(rows) > limit else None
    each = zip(rows[:limit], values, strict=False)
    points = [_point(place, *value, asked_at.get(place[:2])) for place, value in each]
    return page("points", points, following)


def _point(place: PointCursor, value: float, unit: str, asked_at: datetime | None) -> dict[str, Any]:
    return {
        "profile": place.profile,
        "series": place.label,
        "timestamp": rfc3339(from_epoch(place.timestamp)),
        "value": number(value),
        "unit": unit,
        **_asked_at(asked_at),
    }


def _asked_at(moment: datetime | None) -> dict[str, str]:
    """Return when the snapshot of the values was requested; nothing for a history."""
    return {"asked_at": rfc3339(moment)} if moment else {}


async def downsample_points(store: Store, parameters: QueryParameters) -> dict[str, Any]:
    """Return each series downsampled to about `thin` columns: minimum, maximum and mean of each, null without points.

    With `buckets=common` all series have one bucket width and one unit; a series that cannot have them says why.
    """
    chosen, columns = await select(store, parameters), parameters.number("thin", MAX_COLUMNS, 1_000)
    common = parameters.word("buckets", ("own", "common")) == "common"
    found = await store.downsample(chosen, columns, common=common)
    if sum(len(one.columns) for one in found) > _MAX_CELLS:
        raise RequestRejected(f"more than {_MAX_CELLS} columns: ask for fewer series or for fewer columns")
    shown = _measure(found, chosen.series) if common else None
    return {"series": [_columns(one, shown) for one in found]}


def _measure(found: Sequence[Downsampled], order: Sequence[str]) -> tuple[str, str] | None:
    """Return normalization and unit of the first label, in *order*, that has a column."""
    place = {label: at for at, label in enumerate(order)}
    there = [thin.series for thin in found if thin.columns]
    first = min(there, key=lambda one: place.get(one.label, len(place)), default=None)
    return first.measure if first else None


def _columns(thin: Downsampled, shown: tuple[str, str] | None) -> dict[str, Any]:
    one, refused = thin.series, thin.bucket.refused
    if shown and not refused:  # a label whose unit has changed has columns in both
        refused = why_another_unit(one.measure, shown)
    columns = () if refused else thin.columns
    first = columns[0].start if columns else None
    known = {(column.start - first) // thin.width: column for column in columns} if first is not None else {}
    dense = [known.get(at) for at in range(max(known, default=-1) + 1)]
    return {
        "profile": one.profile,
        "series": one.label,
        "agg_interval": one.agg_interval.value,
        "bucket": thin.bucket.interval.value,
        "refused": refused,
        "normalization": one.normalization,
        "unit": one.unit,
        "start": rfc3339(from_epoch(first)) if first is not None else None,
        "column_seconds": thin.width,
        "thinned": thin.width > thin.bucket.interval.seconds,
        "least": [number(column.least) if column else None for column in dense],
        "most": [number(column.most) if column else None for column in dense],
        "mean": [number(float(f"{column.mean:.9g}")) if column else None for column in dense],
        "points": [column.points if column else 0 for column in dense],
        **_asked_at(one.asked_at),
        **({"covers": [rfc3339(one.snapshot.start), rfc3339(one.snapshot.end)]} if one.snapshot else {}),
    }


def _moments(snapshots: Sequence[SelectedSeries]) -> str:
    """Return the header with when each snapshot was requested: `label: time; …`, percent-encoded."""
    each = [f"{quote(one.label, safe=' /')}: {rfc3339(one.asked_at)}" for one in snapshots if one.asked_at]
    listed = "; ".join(each[:_MAX_MOMENTS])
    return listed if len(each) <= _MAX_MOMENTS else f"{listed}; and {len(each) - _MAX_MOMENTS} more"


async def stream_csv(store: Store, parameters: QueryParameters, request: web.Request) -> web.StreamResponse:
    """Stream the selected points as CSV. Headers have the licence, and when snapshots were requested.

    If the store fails meanwhile, the connection is cut, so that half a file does not look complete.
    """
    chosen = await select(store, parameters)
    found = await store.selected(chosen)
    _check_inside(store, chosen, found)
    snapshots = [one for one in found if one.snapshot]
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="points.csv"',
            "X-Licence": LICENCE,
            **({ASKED_AT_HEADER: _moments(snapshots)} if snapshots else {}),
        }
    )
    async with aclosing(store.select_blocks(chosen)) as blocks:
        parts = export_csv(_named(blocks))
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


async def _named(
    blocks: AsyncIterator[tuple[SelectedSeries, Sequence[tuple[int, float]]]],
) -> AsyncIterator[Block]:
    async for one, block in blocks:
        yield Block(one.profile, one.label, block, one.unit, one.normalization)

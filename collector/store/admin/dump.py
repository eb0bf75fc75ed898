"""The canonical dump: all knowledge as JSON lines, in an order that depends on nothing else.

Two stores with the same knowledge have the same dump, whatever their database, however often the collector was
interrupted, and whatever windows it requested. So no line has an id, a request, or the time of an observation, and
snapshots and the measures of logs are left out. So is what answers left beside the groups they listed, which is another
number in another window, and so are rows of days, which follow from the points and may not be written yet. A `series`
line with the whole identity comes before the series' points, revisions, vanished buckets and coverage.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import known_spelling
from collector.store.db.column_types import epoch
from collector.store.db.schema import annotations as annotations_table
from collector.store.db.schema import (
    catalogue,
    date_ranges,
    fetches,
    fires,
    marks,
    points,
    revisions,
    series,
    vanished,
    withdrawals,
)
from collector.store.series import snapshots
from collector.store.write.catalogue import MEASURES
from collector.timestamps import from_epoch, rfc3339
from collector.windows import merge

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence


_ROWS_AT_ONCE = 5_000
_DAY = 86_400
_GROUP = 2
_IDENTITY = ("dataset", "dimension", "group", "agg_interval", "filters", "normalization", "unit")
_ANNOTATION = (
    "dataset",
    "start_date",
    "end_date",
    "data_source",
    "event_type",
    "description",
    "linked_url",
    "is_instantaneous",
    "tags",
)


def digest(connection: sa.Connection) -> str:
    """Return SHA-256 of the dump, in hexadecimal."""
    sha256 = hashlib.sha256()
    with closing(dump(connection)) as texts:
        for text in texts:
            sha256.update(text.encode())
    return sha256.hexdigest()


def dump(connection: sa.Connection) -> Generator[str, None, None]:
    """Stream the dump, whole lines at once, in constant memory; close the iterator if you stop early."""
    for *identity, series_id in _series(connection):
        yield _line("series", *identity)
        parts = (_points, _revisions, _vanished, _coverage)
        for part in parts[:-1] if identity[_GROUP] else parts:  # since when a group is known depends on the windows
            with closing(part(connection, series_id)) as texts:
                for text in texts:
                    yield text
    with closing(_fires(connection)) as texts:
        for text in texts:
            yield text
    yield "".join(_annotations(connection))
    with closing(_catalogue(connection)) as texts:
        for text in texts:
            yield text
    yield "".join(_marks(connection))
    yield "".join(_meta(connection))


def _line(kind: str, *values: Any) -> str:
    return json.dumps([kind, *values], ensure_ascii=False, separators=(",", ":")) + "\n"


def _rows(connection: sa.Connection, select: Any) -> Generator[Sequence[Any], None, None]:
    result = connection.execute(select.execution_options(yield_per=_ROWS_AT_ONCE))
    try:
        yield from result.partitions()
    finally:
        result.close()


def _series(connection: sa.Connection) -> list[tuple[Any, ...]]:
    """Return identity and id of each series, sorted here because each database sorts text by its own rules.

    Snapshot series are left out, because two stores that requested at different moments know different values.
    """
    rows = connection.execute(sa.select(*(series.c[name] for name in _IDENTITY), series.c.id))
    return sorted(tuple(row) for row in rows if not snapshots.of_moving(row.dataset, row.filters))


def _points(connection: sa.Connection, series_id: int) -> Generator[str, None, None]:
    select = sa.select(epoch(points.c.timestamp), points.c.value).where(points.c.series_id == series_id)
    with closing(_rows(connection, select.order_by(points.c.timestamp))) as blocks:
        for block in blocks:
            yield "".join([f'["point","{_time(t)}",{value!r}]\n' for t, value in block])


def _revisions(connection: sa.Connection, series_id: int) -> Generator[str, None, None]:
    """The values that one bucket had before, oldest first."""
    columns = (epoch(revisions.c.timestamp), revisions.c.fetch_id, revisions.c.replaced_by, revisions.c.value)
    select = sa.select(*columns).where(revisions.c.series_id == series_id)
    held: list[Any] = []
    with closing(_rows(connection, select.order_by(revisions.c.timestamp, revisions.c.replaced_by))) as blocks:
        for block in blocks:
            *whole, last = (list(group) for _, group in groupby([*held, *block], key=itemgetter(0)))
            yield "".join(_replaced(group) for group in whole)
            held = last
    yield _replaced(held)


def _replaced(group: Sequence[Any]) -> str:
    lines = [_line("revision", _time(group[0][0]), value) for value in in_order([row[1:] for row in group])]
    return "".join(lines)


def in_order(replaced: Sequence[tuple[int, int, float]]) -> list[float]:
    """Return the values of one bucket in the order of replacement; *replaced* has (fetch_id, replaced_by, value).

    Neither ids nor clocks show this order, because the later one of two concurrent requests may be answered first.
    """
    by_fetch = {fetch_id: (replaced_by, value) for fetch_id, replaced_by, value in replaced}
    replacing = {replaced_by for _, replaced_by, _ in replaced}
    values = []
    for start in [fetch_id for fetch_id, *_ in replaced if fetch_id not in replacing] + list(by_fetch):
        at = start
        while at in by_fetch:
            at, value = by_fetch.pop(at)
            values.append(value)
    return values


def _vanished(connection: sa.Connection, series_id: int) -> Generator[str, None, None]:
    select = sa.select(epoch(vanished.c.timestamp)).where(vanished.c.series_id == series_id)
    with closing(_rows(connection, select.order_by(vanished.c.timestamp))) as blocks:
        for block in blocks:
            yield "".join(_line("vanished", _time(timestamp)) for (timestamp,) in block)


def _coverage(connection: sa.Connection, series_id: int) -> Generator[str, None, None]:
    """Return the coverage, without a trace of the windows in which it was requested."""
    select = sa.select(epoch(date_ranges.c.start), epoch(date_ranges.c.end)).where(date_ranges.c.series_id == series_id)
    covered: list[tuple[int, int]] = []
    with closing(_rows(connection, select.order_by(date_ranges.c.end))) as blocks:
        for block in blocks:
            covered = merge([*covered, *map(tuple, block)])
    yield "".join(_line("covered", _time(start), _time(end)) for start, end in covered)


def _fires(connection: sa.Connection) -> Generator[str, None, None]:
    for profile in sorted(connection.execute(sa.select(fires.c.profile).distinct()).scalars()):
        select = sa.select(fires.c.due, fires.c.outcome).where(fires.c.profile == profile).order_by(fires.c.due)
        with closing(_rows(connection, select)) as blocks:
            for block in blocks:
                yield "".join(_line("fire", profile, rfc3339(due), outcome) for due, outcome in block)


def _annotations(connection: sa.Connection) -> Iterable[str]:
    is_open = sa.and_(withdrawals.c.annotation_id == annotations_table.c.id, withdrawals.c.returned_at.is_(None))
    columns = [annotations_table.c[name] for name in _ANNOTATION]
    select = sa.select(*columns, withdrawals.c.annotation_id).join_from(
        annotations_table, withdrawals, is_open, isouter=True
    )
    rows = connection.execute(select)
    return sorted(_annotation(*row) for row in rows)


def _annotation(dataset: str, start: Any, end: Any, *rest: Any) -> str:
    *words, is_instantaneous, tags, withdrawn = rest
    period = (rfc3339(start), rfc3339(end) if end else None)
    return _line("annotation", dataset, *period, *words, bool(is_instantaneous), tags, withdrawn is not None)


def _catalogue(connection: sa.Connection) -> Generator[str, None, None]:
    """The versions of each entry of Radar's lists, the oldest first, and whether it is still listed.

    The entries are sorted here, because each database sorts text by its own rules.
    """
    keys = catalogue.c.list, catalogue.c.slug, catalogue.c.part
    kept = catalogue.c.part != MEASURES
    for key in sorted(tuple(row) for row in connection.execute(sa.select(*keys).where(kept).distinct())):
        select = sa.select(catalogue.c.content, catalogue.c.valid_to)
        select = select.where(*(column == word for column, word in zip(keys, key, strict=True)))
        rows = connection.execute(select.order_by(catalogue.c.valid_from)).all()
        yield "".join(_line("catalogue", *key, row.content) for row in rows)
        yield _line("listed", *key, rows[-1].valid_to is None)


def _marks(connection: sa.Connection) -> Iterable[str]:
    rows = connection.execute(sa.select(*(marks.c[name] for name in ("start_date", "end_date", "text", "url"))))
    return sorted(_line("mark", rfc3339(start), rfc3339(end) if end else None, *texts) for start, end, *texts in rows)


def _meta(connection: sa.Connection) -> Iterable[str]:
    facts = sa.select(fetches.c.agg_interval, fetches.c.normalization, fetches.c.unit).distinct()
    about_series = sa.and_(fetches.c.outcome == "ok", fetches.c.agg_interval != "")
    rows = connection.execute(facts.where(about_series)).all()
    return sorted({_line("meta", interval, word and known_spelling(word), unit) for interval, word, unit in rows})


def _time(timestamp: int) -> str:
    """Write epoch seconds as RFC 3339, from its two halves, each of which comes again and again."""
    days, seconds = divmod(timestamp, _DAY)
    return _date(days) + _clock(seconds)


@lru_cache(maxsize=10_000)
def _date(days: int) -> str:
    try:
        return f"{from_epoch(days * _DAY).date()}T"
    except (OverflowError, ValueError, OSError):  # only damage is beyond the calendar
        return f"{days}d"


@lru_cache(maxsize=_DAY)
def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"

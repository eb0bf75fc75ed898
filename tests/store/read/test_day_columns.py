"""Columns of whole days in charts: the same from rows of days and from points, on both databases."""

from datetime import timedelta

import pytest

from collector.model import Window
from collector.store import PointQuery
from collector.store.read import day_columns
from collector.store.series import days
from tests.harness.factories import DAY, HOUR, NOW, batch, exported, profile, saved

DAYS = 60
START = DAY - timedelta(days=DAYS)
BY = profile("by", caOwner=("A", "B", "C"))
HOLE = 24 * 17 + 5
WEEK = 7 * 86_400


def _value(seed, number):
    return float((number * 7_919 + seed * 31) % 1_000) - 3


@pytest.fixture
async def filled(store):
    """Sixty days of two series, one with a hole; none of the third. The last day has no row, and two are stale."""
    await store.activate_labels([BY], NOW)
    queries = [series.query for series in BY.series]
    first = -24 * DAYS
    rows = [{first + n: _value(seed, n) for n in range(24 * DAYS) if seed or n != HOLE} for seed in (0, 1)]
    older = Window(START, DAY - timedelta(days=1))
    split = [{hour: value for hour, value in row.items() if hour < -24} for row in rows]
    await saved(store, batch((queries[0], older), (queries[1], older)), *split, profiles=("by",), updated=NOW)
    while (await store.build_days(DAY + HOUR)).more:
        pass
    newest = Window(DAY - timedelta(days=1), DAY)
    rest = [{hour: value for hour, value in row.items() if hour >= -24} for row in rows]
    later = NOW + HOUR
    await saved(
        store, batch((queries[0], newest), (queries[1], newest)), *rest, now=later, profiles=("by",), updated=later
    )
    changed = Window(START + 30 * timedelta(days=1) + 3 * HOUR, START + 30 * timedelta(days=1) + 5 * HOUR)
    fresh = {first + 30 * 24 + 3: 12_345.0, first + 30 * 24 + 4: -77.0}
    await saved(store, batch((queries[1], changed)), fresh, now=later + HOUR, profiles=("by",), updated=later + HOUR)
    return store


async def _plain(store, width, origin, first, last):
    columns = {}
    for _, label, timestamp, value in await exported(store, "by"):
        if first <= timestamp < last:
            columns.setdefault((label, origin + (timestamp - origin) // width * width), []).append(value)
    return {key: (min(v), max(v), pytest.approx(sum(v) / len(v), rel=1e-12), len(v)) for key, v in columns.items()}


@pytest.mark.parametrize("width", [86_400, 2 * 86_400, WEEK])
@pytest.mark.parametrize("cut", [(0 * HOUR, 0 * HOUR), (7 * HOUR, 5 * HOUR), (30 * HOUR, 30 * HOUR)])
async def test_columns_are_those_of_the_points(filled, width, cut, monkeypatch):
    monday, span = 4 * 86_400, (START + cut[0], DAY - cut[1])
    first, last = (int(moment.timestamp()) for moment in span)
    columns = -(-(last - first) // width)
    from_rows = await filled.downsample(PointQuery(start=span[0], end=span[1]), columns)
    expected = await _plain(filled, width, monday, first, last)
    for thin in (from_rows, await _from_points(filled, span, columns, monkeypatch)):
        assert [one.series.label for one in thin] == ["by/A", "by/B", "by/C"]
        assert {one.width for one in thin} == {width}
        assert [one.columns for one in thin][2] == []
        found = {(one.series.label, column.start): tuple(column)[1:] for one in thin for column in one.columns}
        assert found == expected
        assert [*found] == sorted(found)


async def _from_points(store, span, columns, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(days, "until", lambda _connection: None)
        return await store.downsample(PointQuery(start=span[0], end=span[1]), columns)


async def test_a_part_of_one_day_is_read_from_its_points(filled):
    start, end = START + 30 * HOUR, START + 45 * HOUR
    thin = await filled.downsample(PointQuery(start=start, end=end), 1)
    assert [(one.width, sum(column.points for column in one.columns)) for one in thin[:2]] == [(86_400, 15)] * 2


async def test_rows_of_days_are_read_and_points_only_where_there_is_none(filled, monkeypatch):
    read = []
    select = day_columns._points_select
    monkeypatch.setattr(day_columns, "_points_select", lambda: read.append(1) or select())
    await filled.downsample(PointQuery(start=START, end=DAY), DAYS)
    assert len(read) == 2  # the day that was revised, and the newest
    monkeypatch.setattr(day_columns, "MAX_STALE", 0)
    assert len(await filled.downsample(PointQuery(start=START, end=DAY), DAYS)) == 3
    assert len(read) == 2  # of too many stale days, all points are read as before

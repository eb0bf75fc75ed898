import pytest

from collector.store import PointCursor, PointQuery
from collector.store.read.downsample import bucket_width, chart_buckets
from collector.timestamps import from_epoch
from tests.harness.factories import DAY, HOUR, NOW, at, batch, hours, profile, saved


@pytest.fixture
async def two(store):
    """Twelve hours of two labels; of the second one the hours 4 and 5 are missing."""
    profiles = [profile("all"), profile("by", caOwner=("A", "B"))]
    await store.activate_labels(profiles, NOW)
    (every,), (one, other) = (p.series for p in profiles)
    asked = batch(*((s.query, hours(0, 12)) for s in (every, one, other)))
    broken = {h: h for h in range(12) if h not in (4, 5)}
    await saved(store, asked, [float(h) for h in range(12)], [float(h * h) for h in range(12)], broken)
    return store


async def _rows(store, chosen, after=None):
    return [(s.label, t, v) async for s, block in store.select_blocks(chosen, after) for t, v in block]


async def test_it_works(two):
    rows = await _rows(two, PointQuery(series=("by/A",), start=DAY + 2 * HOUR, end=DAY + 4 * HOUR))
    assert rows == [("by/A", at(2), 4.0), ("by/A", at(3), 9.0)]


async def test_no_filter_means_all_by_profile_and_position(two):
    assert [label for label, _, _ in await _rows(two, PointQuery())][::12] == ["all", "by/A", "by/B"]


async def test_reading_goes_on_behind_any_place(two):
    whole = await _rows(two, PointQuery())
    for n, (label, timestamp, _) in enumerate(whole):
        assert await _rows(two, PointQuery(), PointCursor(label.split("/")[0], label, timestamp)) == whole[n + 1 :]


async def test_a_place_that_is_not_of_the_selection_is_refused(two):
    with pytest.raises(LookupError):
        await _rows(two, PointQuery(series=("all",)), PointCursor("by", "by/A", at(0)))


@pytest.mark.parametrize("columns", [1, 2, 5, 12, 100])
async def test_the_database_thins_as_python_does(two, columns):
    for thin in await two.downsample(PointQuery(start=DAY, end=DAY + 12 * HOUR), columns):
        rows = await _rows(two, PointQuery(series=(thin.series.label,)))
        assert chart_buckets([(t, v) for _, t, v in rows], thin.width) == thin.columns
        assert max(c.most for c in thin.columns) == max(v for _, _, v in rows)
        assert sum(c.points for c in thin.columns) == len(rows)


async def test_thinning_knows_the_past(two):
    every = profile("all").series[0].query
    later = NOW + HOUR
    await saved(two, batch((every, hours(0, 12))), [100.0] * 12, now=later, updated=later)
    chosen = {"series": ("all",), "start": DAY, "end": DAY + 12 * HOUR}
    (now,), (then,) = [await two.downsample(PointQuery(**chosen, as_of=moment), 6) for moment in (None, NOW)]
    assert {c.mean for c in now.columns} == {100.0}
    assert [c.most for c in then.columns] == [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]


async def test_without_a_time_all_that_is_stored_is_thinned(two):
    (thin,) = await two.downsample(PointQuery(series=("all",)), 12)
    assert [c.start for c in thin.columns] == [at(h) for h in range(12)]


async def test_nothing_stored_is_no_column(store):
    await store.activate_labels([profile("all")], NOW)
    assert [thin.columns for thin in await store.downsample(PointQuery(), 100)] == [[]]


@pytest.mark.parametrize(
    ("width", "span", "columns", "step"),
    [
        (900, 86_400, 1000, 900),
        (900, 86_400, 96, 900),
        (1800, 86_400, 95, 900),
        (86_400, 31_536_000, 1000, 900),
        (900, 0, 10, 900),
    ],
)
def test_a_column_holds_whole_buckets(width, span, columns, step):
    assert bucket_width(span, columns, step) == width


def test_columns_lie_on_a_grid_of_weeks():
    (column,) = chart_buckets([(at(0), 1.0)], 7 * 86_400)
    assert from_epoch(column.start).weekday() == 0

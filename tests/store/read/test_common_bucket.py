import pytest

from collector.interval import AggInterval
from collector.store import Bucket, PointQuery
from collector.store.read.common_bucket import common_buckets
from collector.store.read.selection import SelectedSeries
from tests.harness.factories import DAY, HOUR, NOW, at, batch, hours, profile, saved

FINE, HOURLY, DAILY = AggInterval.FIFTEEN_MINUTES, AggInterval.ONE_HOUR, AggInterval.ONE_DAY


@pytest.fixture
async def mixed(store):
    """Four hours of `fine` every 15 minutes, without one value of the third and without the last one; and of `all`."""
    profiles = [profile("fine", FINE), profile("all")]
    await store.activate_labels(profiles, NOW)
    fine, hourly = (one.series[0].query for one in profiles)
    quarters = {n / 4: float(n) for n in range(15) if n != 9}
    await saved(store, batch((fine, hours(0, 4))), quarters)
    await saved(store, batch((hourly, hours(0, 4))), [10.0, 20.0, 30.0, 40.0])
    return store


@pytest.mark.parametrize("as_of", [None, NOW + HOUR])
async def test_only_complete_buckets_are_summed(mixed, as_of):
    for start, first in ((DAY, 0), (DAY + HOUR / 2, 1)):  # a bucket belongs to the time in which it starts
        chosen = PointQuery(series=("fine", "all"), start=start, end=DAY + 3.5 * HOUR, as_of=as_of)
        hourly, fine = await mixed.downsample(chosen, 100, common=True)
        assert (fine.series.label, fine.bucket, fine.width) == ("fine", Bucket(HOURLY), 3600)
        assert fine.columns == [(at(0), 6.0, 6.0, 6.0, 1), (at(1), 22.0, 22.0, 22.0, 1)][first:]
        assert [column.mean for column in hourly.columns] == [10.0, 20.0, 30.0, 40.0][first:]


async def test_extremes_are_those_of_the_sums(mixed):
    (_, fine) = await mixed.downsample(PointQuery(start=DAY, end=DAY + 4 * HOUR), 2, common=True)
    assert fine.columns == [(at(0), 6.0, 22.0, 14.0, 2)]


async def test_alone_a_series_keeps_its_buckets(mixed):
    chosen = PointQuery(series=("fine",), start=DAY, end=DAY + 4 * HOUR)
    assert await mixed.downsample(chosen, 100, common=True) == await mixed.downsample(chosen, 100)


def _series(label, interval=HOURLY, unit="certificates", why=None, normalization="RAW_VALUES"):
    return SelectedSeries("p", label, 1, interval, normalization, unit, why_not_summed=why)


UNIQUE = _series("unique", FINE, why="uniqueEntries: twice")


@pytest.mark.parametrize(
    ("interval", "refused", "series"),
    [
        (FINE, {}, [_series("a", FINE), _series("b", FINE)]),
        (HOURLY, {}, [_series("a", FINE), _series("b")]),
        (DAILY, {}, [_series("a", FINE), _series("b"), _series("c", DAILY)]),
        (FINE, {}, [UNIQUE, _series("a", FINE)]),
        (HOURLY, {"unique": "its 15m values cannot be summed to 1h: uniqueEntries: twice"}, [_series("a"), UNIQUE]),
        (
            FINE,
            {"a": "the chart has unique, whose 15m values cannot be summed to 1h: uniqueEntries: twice"},
            [UNIQUE, _series("a")],
        ),
        (
            HOURLY,
            {"d": "its unit is 'requests', the unit of this chart is 'certificates'"},
            [_series("a"), _series("d", DAILY, "requests")],
        ),
        (HOURLY, {}, [_series("a"), _series("b", unit="Certificates ")]),
    ],
)
def test_the_first_one_keeps_its_place(interval, refused, series):
    found = common_buckets(series[::-1], [one.label for one in series])
    assert found == {one.label: Bucket(interval, refused.get(one.label)) for one in series}

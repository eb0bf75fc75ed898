"""A chart and `stats` have the same sum over a range: a bucket belongs to the range in which it starts."""

from datetime import datetime, timedelta

import pytest

from collector.analysis.words import Words
from collector.interval import AggInterval
from collector.model import Window
from collector.report.analysis.stats import answer_stats
from collector.store import PointQuery
from collector.timestamps import from_epoch
from tests.harness.factories import DAY, HOUR, NOW, at, batch, profile, saved


@pytest.fixture(params=AggInterval)
async def stored(store, request):
    """Sixty buckets of one interval, the newest one on a Monday at most a week ago."""
    interval = request.param
    one = profile(agg_interval=interval)
    await store.activate_labels([one], NOW)
    monday = DAY - timedelta(days=DAY.weekday())
    first, step = monday - 59 * interval.step, interval.seconds / 3_600
    begin = (first - DAY) / HOUR
    values = {begin + n * step: float(1 + n * n % 89) for n in range(60)}
    await saved(store, batch((one.series[0].query, Window(first, monday + interval.step))), values)
    return store, interval, {from_epoch(at(hour)): value for hour, value in values.items()}


@pytest.mark.parametrize("columns", [2, 7, 1_000])
@pytest.mark.parametrize("as_of", [None, NOW + HOUR])
async def test_a_chart_has_the_sum_of_stats(stored, columns, as_of):
    store, interval, values = stored
    moments = [*values]
    for cut in (0.3 * interval.step, timedelta(0)):
        start, end = _seconds(moments[11] + cut), _seconds(moments[47] + cut)
        expected = sum(value for moment, value in values.items() if start <= moment < end)
        chosen = PointQuery(profiles=("all",), start=start, end=end, as_of=as_of)
        for common in (False, True):
            (thin,) = await store.downsample(chosen, columns, common=common)
            assert sum(column.points for column in thin.columns) == 36
            assert sum(column.mean * column.points for column in thin.columns) == pytest.approx(expected, rel=1e-12)
        (row,) = await store.with_read_view(lambda view, chosen=chosen: answer_stats(view, chosen, Words()))
        assert (row["total"], row["known"], row["expected"]) == (expected, 36, 36)


def _seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)

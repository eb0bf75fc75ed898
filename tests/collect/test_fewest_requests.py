"""A year of 15m for 50 series costs hardly more than the fewest requests possible, whatever limits Radar hides.

Whatever is limited, and however more than that is refused. The long form prints what each cell costs.
"""

import pytest

from collector.collect.backfill import BackfillRunner
from collector.interval import AggInterval
from collector.model import Window
from collector.simulator.options import MAX_SPAN
from collector.store import backfill_request
from tests.bench.requests import CELLS, Cell, fewest, spent
from tests.harness import faults
from tests.harness.collect_core import DAY, NOW, open_core
from tests.harness.factories import many

_FEW = {
    Cell(7, 20),
    Cell(7, way="504"),
    Cell(14, way="coarser"),
    Cell(28, way="capped"),
    Cell(28, 20, "422"),
    Cell(positions=3, way="400 without a code"),
    Cell(positions=20, way="500/2000"),
    Cell(product=100, way="524"),
    Cell(product=620, way="time-out"),
    Cell(url=2048, way="400 HTML"),
}


def most(cell):
    least = fewest(cell)
    return 1.3 * least if least >= 20 else least + 6


@pytest.mark.parametrize(
    "cell", [cell if cell in _FEW else pytest.param(cell, marks=pytest.mark.campaign) for cell in CELLS], ids=str
)
async def test_few_more_requests_than_needed_are_sent_including_those_that_find_the_limits(tmp_path, cell):
    requests, least = await spent(cell, tmp_path), fewest(cell)
    print(f"{cell}: {requests} requests, {least} at least, {requests / least:.2f}")  # noqa: T201 - for reports
    assert least <= requests <= most(cell)


WIDE = many(5)
MONTHS = Window(NOW.replace(hour=0, minute=0) - 60 * DAY, NOW.replace(hour=0, minute=0))


async def backfilled(core, window=MONTHS):
    """Backfill *window* and compare it with the truth. Returns the number of requests."""
    order = backfill_request(
        [profile.name for profile in core.profiles], window.start, window.end, core.clock(), force=False
    )
    job = await core.store.create_backfill(order, core.clock())
    standing = await BackfillRunner(core.store, core.batch_runner).run(job, core.profiles)
    assert (standing.state, standing.progress.gaps_remaining) == ("done", 0)
    stored = await core.stored()
    for profile_ in core.profiles:
        for series in profile_.series:
            assert stored[series.label] == core.truth(series.query, window)
    return len(core.requests)


@pytest.mark.parametrize("name", ["range-one", "range-object"])
async def test_a_single_date_range_for_several_windows_costs_no_extra_request(sqlite_url, name):
    async with open_core(sqlite_url, WIDE, odd=(name,), max_span=dict.fromkeys(AggInterval, 7 * DAY)) as core:
        assert await backfilled(core) == 2


async def test_a_limit_of_seven_series_days_with_504_above_it_is_found_in_one_backfill(sqlite_url):
    def fails(received):
        requested = received.request.series if received.request else ()
        return faults.html(504) if sum(series.end - series.start for series in requested) > 7 * 86_400 else None

    async with open_core(sqlite_url, WIDE) as core:
        core.script(fails)
        assert await backfilled(core) <= 1.3 * 5 * 60 / 7


@pytest.mark.parametrize("name", ["span-502", "span-524", "coarsen", "coarsen-unsaid", "cap-newest"])
async def test_a_limit_of_one_day_a_request_is_found_with_few_requests(sqlite_url, name):
    async with open_core(sqlite_url, WIDE, odd=(name,)) as core:
        assert await backfilled(core) <= 4 + 6  # 300 windows of a day; a URL holds about 80 of them


_BEYOND = {"502": faults.html(502), "524": faults.html(524), "time-out": faults.black_hole()}


@pytest.mark.campaign
@pytest.mark.parametrize("way", _BEYOND)
async def test_half_a_year_costs_few_more_requests_than_needed(sqlite_url, way):
    def fails(received):
        requested = received.request.series if received.request else ()
        is_long = any(series.end - series.start > 7 * 86_400 for series in requested)
        return _BEYOND[way] if is_long or len(requested) > 20 else None

    spans, least = dict.fromkeys(AggInterval, 366 * DAY), 50 * 26 / 20
    async with open_core(sqlite_url, many(50), max_span=spans, series_per_request=1000, patience=4) as core:
        core.script(fails)
        requests = await backfilled(core, Window(MONTHS.end - 182 * DAY, MONTHS.end))
        print(f"{way}: {requests} requests, {least:g} at least")  # noqa: T201 - for reports
        assert requests <= 1.3 * least
        assert {row.status for row in await core.store.list_fetches()}.isdisjoint({429})


async def test_the_limits_of_two_intervals_with_different_spans_are_found_with_few_requests(sqlite_url):
    spans = {AggInterval.FIFTEEN_MINUTES: 3 * DAY, AggInterval.ONE_HOUR: 10 * DAY}
    finer = many(5, "finer", agg_interval=AggInterval.FIFTEEN_MINUTES)
    async with open_core(sqlite_url, WIDE, finer, max_span={**MAX_SPAN, **spans}, series_per_request=3) as core:
        requests = await backfilled(core, Window(MONTHS.end - 21 * DAY, MONTHS.end))
        assert requests <= 17 + 6  # 17 is least; each interval searches for its own span

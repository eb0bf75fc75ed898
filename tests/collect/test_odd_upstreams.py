"""The matrix: every variation of a true answer against the simulator's own truth, by HTTP into a real store.

Whatever the form, no value is wrong, nothing is refused that can be read, nothing is taken for a gap that is there; and
once the upstream answers as usual, all of history is there.
"""

import itertools
import random
import shutil

import pytest

from collector.interval import AggInterval
from collector.model import Window
from collector.simulator import odd
from tests.harness.collect_core import open_core, run_pass, window_of
from tests.harness.factories import profile

OWNERS = ("DigiCert, Inc.", "Sectigo Limited")
BUCKETS = 6
READ = [
    name
    for name, variation in odd.VARIATIONS.items()
    if variation.group != "limits" and variation.part != "behaviour.grid"
]
"""The variations that one small question meets. test_grids and test_limits have limits and other grids."""
INTERVALS = (AggInterval.ONE_HOUR, AggInterval.FIFTEEN_MINUTES, AggInterval.ONE_DAY, AggInterval.ONE_WEEK)
INTERVAL = {name: INTERVALS[number % 4] for number, name in enumerate(odd.VARIATIONS)} | {
    "timestamps-dates": AggInterval.ONE_DAY
}
ON_POSTGRES = ("values-exponents", "values-some-1e999", "range-nulls", "annotations-hostile", "names-from-one")
IDENTITY = ("normalization", "units")
"""Groups that may decide which series an answer belongs to."""
NEVER_SEEN = frozenset({"nothing"})
"""Variations without a body that could be kept."""


def asked_of(agg_interval):
    return profile("two", agg_interval, each={"caOwner": OWNERS}, lookback=BUCKETS * agg_interval.step)


async def stored_and_true(core):
    """{label: {timestamp: value}} of what is stored and of the truth, over the windows that were wanted.

    What lies before the first request's window was looked at for the edge of history, and is not stored.
    """
    (profile,) = core.profiles
    questions = [request.request for request in core.requests if request.request]
    windows = [window_of(series) for question in questions for series in question.series]
    wanted = [window for window in windows if window.end > windows[0].start]
    window = Window(min(window.start for window in wanted), max(window.end for window in wanted))
    points = await core.stored()
    stored = {series.label: points.get(series.label, {}) for series in profile.series}
    truth = {series.label: core.truth(series.query, window) for series in profile.series}
    return stored, truth, window


async def gaps(core, window):
    """Return the number of missing buckets by (label, reason)."""
    (profile,) = core.profiles
    lacking = {}
    for series in profile.series:
        for hole in await core.store.gaps(series.query, window, profile.settle):
            key = (series.label, hole.reason)
            lacking[key] = lacking.get(key, 0) + (hole.window.duration // profile.agg_interval.step)
    return lacking


async def answered_oddly(url, names, caplog):
    """Collect from an odd upstream, then from a usual one. Check the store after each."""
    chosen = odd.choose(names)
    # At 1h all that is asked for lies within the limits that behaviour is tried with.
    behaves = any(variation.group == "behaviour" for variation in chosen)
    agg_interval = AggInterval.ONE_HOUR if behaves else INTERVAL[names[0]]
    caplog.clear()
    async with open_core(url, asked_of(agg_interval), odd=names) as core:
        await run_pass(core)
        stored, truth, window = await stored_and_true(core)
        if any(variation.verdict == "refuse" for variation in chosen):
            # a smaller question may have an answer without what is odd
            assert all(points.items() <= truth[label].items() for label, points in stored.items())
            await check_evidence(core, names)
        else:
            step = agg_interval.seconds
            kept = {
                label: {
                    at: value for at, value in points.items() if all(variation.keeps(at, step) for variation in chosen)
                }
                for label, points in truth.items()
            }
            assert stored == kept
            lost = {(label, "missing"): len(truth[label]) - len(points) for label, points in kept.items()}
            assert await gaps(core, window) == {key: count for key, count in lost.items() if count}
        await check_notes(core, chosen, caplog)
        if len(chosen) > 1 or chosen[0].verdict != "take" or chosen[0].group in IDENTITY:
            await check_recovery(core)


async def check_recovery(core):
    """Assert that a usual upstream completes the same series."""
    core.simulator.be_odd()
    core.clock.advance(hours=3)
    await run_pass(core)
    stored, truth, window = await stored_and_true(core)
    assert stored == truth
    assert await gaps(core, window) == {}


async def check_evidence(core, names):
    """Assert that a rejected answer has its outcome, and that its body is kept."""
    assert {*await core.outcomes()} != {"ok"}
    assert await core.store.bodies() or NEVER_SEEN & {*names}


async def check_notes(core, chosen, caplog):
    """Assert that omissions are recorded, and each kind of deviation once."""
    noted = [record.deviation for record in caplog.records if hasattr(record, "deviation")]
    assert sorted(noted) == sorted({deviation.kind for deviation in await core.store.deviations()})
    verdicts = {variation.verdict for variation in chosen}
    assert noted or "leave out" not in verdicts or "refuse" in verdicts


@pytest.mark.parametrize("name", READ)
async def test_every_variation_is_stored_as_the_table_says(sqlite_url, caplog, name):
    await answered_oddly(sqlite_url, (name,), caplog)


@pytest.mark.parametrize("name", ON_POSTGRES)
async def test_postgres_stores_the_same(postgres_url, caplog, name):
    await answered_oddly(postgres_url, (name,), caplog)


@pytest.mark.parametrize("shape", ["series-other-arrays", "series-numbers"])
@pytest.mark.parametrize("place", ["series-list", "series-nested"])
async def test_series_of_another_shape_may_lie_in_another_place(sqlite_url, caplog, place, shape):
    await answered_oddly(sqlite_url, (place, shape), caplog)


@pytest.mark.parametrize("shape", ["series-pairs", "series-records"])
async def test_start_and_end_of_a_bucket_may_lie_in_records(sqlite_url, caplog, shape):
    await answered_oddly(sqlite_url, (shape, "timestamps-spans"), caplog)


def drawn(seed, count, size):
    """Return *count* combinations of variations that do not contradict each other."""
    dice = random.Random(seed)
    combinations = []
    while len(combinations) < count:
        names = tuple(sorted(dice.sample(READ, size)))
        pairs = itertools.combinations((odd.VARIATIONS[name] for name in names), 2)
        if not any(variation.common_part(other) for variation, other in pairs):
            combinations.append(names)
    return combinations


async def try_all(sets, sqlite_template, tmp_path, caplog):
    for number, names in enumerate(sets):
        url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / f'{number}.db')}"
        try:
            await answered_oddly(url, names, caplog)
        except AssertionError as error:
            raise AssertionError(f"{', '.join(names)}: {error}") from error


async def test_thirty_pairs_drawn_at_random_are_stored_as_the_table_says(sqlite_template, tmp_path, caplog, seed):
    await try_all(drawn(seed, 30, 2), sqlite_template, tmp_path, caplog)


@pytest.mark.campaign
@pytest.mark.parametrize("size", [2, 3, 4])
async def test_a_thousand_combinations_of_two_to_four_are_stored_as_the_table_says(
    sqlite_template, tmp_path, caplog, seed, size
):
    await try_all(drawn(seed, 1000, size), sqlite_template, tmp_path, caplog)


def test_there_are_at_least_120_variations_and_all_three_verdicts():
    assert len(odd.VARIATIONS) >= 120
    assert {variation.verdict for variation in odd.VARIATIONS.values()} == {"take", "leave out", "refuse"}


async def test_one_more_series_beside_shared_timestamps_is_refused(sqlite_template, tmp_path, caplog):
    await try_all([("series-one-more", "series-shared")], sqlite_template, tmp_path, caplog)


async def test_arrays_below_data_in_another_spelling_are_read(sqlite_template, tmp_path, caplog):
    await try_all([("keys-title", "series-data")], sqlite_template, tmp_path, caplog)

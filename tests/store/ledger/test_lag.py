"""The usual lag of Radar, learned from answers."""

from datetime import timedelta

from tests.harness.factories import HOUR, NOW, batch, hours, profile, query, saved

ASKED = batch((query(), hours(0, 1)))
QUARTER = timedelta(minutes=15)


async def answered(store, lags, start=NOW, step=HOUR):
    """Save an answer every *step*, each so far behind."""
    for number, lag in enumerate(lags):
        now = start + number * step
        await saved(store, ASKED, [1], now=now, updated=now - lag)


async def usual(store):
    (row,) = await store.status_rows([profile()])
    return row.usual_lag, row.behind


async def test_the_median_of_earlier_answers(store):
    await store.activate_labels([profile()], NOW)
    assert await usual(store) == (None, timedelta(0))
    await answered(store, [QUARTER])
    assert await usual(store) == (None, QUARTER)
    await answered(store, [QUARTER, 2 * QUARTER, 20 * HOUR, QUARTER, 2 * QUARTER], NOW + HOUR)
    assert await usual(store) == (QUARTER, 2 * QUARTER)


async def test_a_stall_does_not_become_the_usual_lag(store):
    await store.activate_labels([profile()], NOW)
    await answered(store, [QUARTER] * 10)
    begin = NOW + 10 * HOUR
    await answered(store, [QUARTER + number * HOUR for number in range(70)], begin)
    assert await usual(store) == (QUARTER, QUARTER + 69 * HOUR)


async def test_nor_does_one_in_which_it_creeps_on(store):
    await store.activate_labels([profile()], NOW)
    await answered(store, [QUARTER] * 10)
    begin, creep = NOW + 10 * HOUR, timedelta(minutes=1)
    await answered(store, [QUARTER + number * (HOUR - creep) for number in range(70)], begin)
    assert (await usual(store))[0] == QUARTER


async def test_it_is_learned_from_the_newest_fifty(store):
    await store.activate_labels([profile()], NOW)
    await answered(store, [4 * QUARTER] * 60 + [QUARTER] * 51)
    assert await usual(store) == (QUARTER, QUARTER)

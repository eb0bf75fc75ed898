"""Which of two answers counts, and what an answer changes that does not."""

from datetime import timedelta

import pytest

from collector.store import SaveResult
from collector.store.ledger.fetches import AnswerTime, overrules
from tests.harness.factories import DAY, HOUR, NOW, answer, batch, hours, profile, query, saved, start_fetch, values

ASKED = batch((query(), hours(0, 4)))
A_DAY = timedelta(days=1)


def time(asked, came, updated):
    return AnswerTime(NOW + asked * HOUR, NOW + came * HOUR, NOW + updated * HOUR)


@pytest.mark.parametrize(
    ("expected", "other", "asked"),
    [
        pytest.param(False, time(0, 0, -1), time(1, 1, 0), id="an earlier lastUpdated"),
        pytest.param(True, time(0, 0, 0), time(1, 1, -1), id="a later one"),
        pytest.param(True, time(0, 0, 0), time(24, 24, -1), id="a later one that came a day before"),
        pytest.param(False, time(0, 0, 0), time(24.1, 25, -1), id="a later one that came more than a day before"),
        pytest.param(False, time(0, 0, 0), time(1, 1, 0), id="an equal one that was requested before"),
        pytest.param(True, time(2, 2, 0), time(1, 3, 0), id="an equal one that was requested later"),
        pytest.param(False, time(1, 2, 0), time(1, 3, 0), id="an equal one of the same moment"),
    ],
)
def test_an_answer_is_overruled_by(expected, other, asked):
    assert overrules(other, asked) == expected


async def test_a_last_updated_that_stays_back_counts_after_a_day(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1, 1, 1, 1])
    back = NOW - HOUR
    for later in (HOUR, A_DAY):
        assert await saved(store, ASKED, [2, 2, 2], now=NOW + later, updated=back) == SaveResult(ignored=4)
    late = NOW + A_DAY + HOUR
    assert await saved(store, ASKED, [2, 2, 2], now=late, updated=back) == SaveResult(revised=3, vanished=1)
    assert await values(store) == {0: 2.0, 1: 2.0, 2: 2.0, 3: 1.0}


async def test_a_last_updated_ahead_of_the_clock_counts_as_the_present_less_the_usual_lag(store):
    lag = timedelta(minutes=40)
    for hour in range(5):
        moment = NOW + hour * HOUR
        await saved(store, ASKED, [1, 1, 1, 1], now=moment, updated=moment - lag)
    ahead = NOW + 5 * HOUR
    for future in (timedelta(hours=23), timedelta(days=3000)):
        await saved(store, ASKED, [2, 2, 2, 2], now=ahead, updated=ahead + future)
        assert (await store.newest_answer("all")).last_updated == ahead - lag
    later = ahead + HOUR
    assert await saved(store, ASKED, [3, 3, 3, 3], now=later, updated=later - lag) == SaveResult(revised=4)


async def test_the_first_answer_may_have_a_last_updated_ahead_of_the_clock(store):
    await saved(store, ASKED, [1, 1, 1, 1], updated=NOW + 23 * HOUR)
    assert (await store.newest_answer("all")).last_updated == NOW - HOUR
    later = NOW + HOUR
    assert await saved(store, ASKED, [2, 2, 2, 2], now=later, updated=later - HOUR) == SaveResult(revised=4)


async def test_of_two_answers_with_equal_last_updated_the_one_requested_later_counts(store):
    await store.activate_labels([profile()], NOW)
    first = await start_fetch(store, ASKED, NOW)
    second = await start_fetch(store, ASKED, NOW + HOUR)
    for fetch_id, value, expected in ((second, 2, SaveResult(inserted=4)), (first, 1, SaveResult(ignored=4))):
        said = answer(ASKED, [value] * 4, updated=DAY + 12 * HOUR)
        assert await store.save(fetch_id, ASKED, said, NOW + 2 * HOUR, 100) == expected


async def test_force_lets_an_older_answer_count(store):
    await saved(store, ASKED, [1, 1, 1, 1])
    fetch_id = await start_fetch(store, ASKED, NOW + HOUR)
    older = answer(ASKED, [2, 2, 2, 2], updated=NOW - HOUR)
    assert await store.save(fetch_id, ASKED, older, NOW + HOUR, 100, force=True) == SaveResult(revised=4)


async def test_what_was_ignored_is_on_record(store):
    await saved(store, ASKED, [1, 1, 1, 1])
    await saved(store, ASKED, [2, 1], now=NOW + HOUR, updated=NOW - HOUR)
    row, *_ = await store.list_fetches()
    assert (row.unchanged, row.ignored, row.revised, row.vanished) == (1, 3, 0, 0)

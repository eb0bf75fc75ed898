"""For which buckets an answer speaks."""

from datetime import timedelta

import pytest

from collector.model import Slice
from collector.store.write.diff import AnswerPart, spoken_window
from tests.store.making import DAY, HOUR, NOW, at, hours, query

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("expected", "start_time", "end_time", "last_updated"),
    [
        pytest.param((0, 10), 0, 10, 20, id="the end is exclusive"),
        pytest.param((0, 10), 0, 9, 20, id="the end is inclusive"),
        pytest.param((0, 10), -3, 15, 20, id="rounded outward"),
        pytest.param((2, 10), 2, 10, 20, id="begins later"),
        pytest.param((2, 10), 1.5, 10, 20, id="begins in the midst of a bucket"),
        pytest.param((0, 7), 0, 7, 20, id="clipped"),
        pytest.param((0, 7), 0, 7.5, 20, id="clipped in the midst of a bucket"),
        pytest.param((0, 6), 0, 10, 6.9, id="not closed at lastUpdated"),
        pytest.param((0, 0), 0, 10, -5, id="lastUpdated before all of it"),
        pytest.param((8, 8), 8, 10, 3, id="lastUpdated before the part that it names"),
    ],
)
def test_an_answer_speaks_for_buckets_that_it_names_and_that_are_closed(expected, start_time, end_time, last_updated):
    named = DAY + start_time * HOUR, DAY + end_time * HOUR
    found = spoken_window(hours(0, 10), named, DAY + last_updated * HOUR, HOUR)
    assert found == (at(expected[0]), at(expected[1]))


@pytest.mark.parametrize(
    ("expected", "values", "stored"),
    [
        pytest.param([], range(40), [], id="whole"),
        pytest.param([], [], range(40), id="no value at all"),
        pytest.param([(0, 10)], range(10, 40), [], id="the oldest quarter"),
        pytest.param([], range(9, 40), range(40), id="less than a quarter"),
        pytest.param([], range(30), [], id="the newest ones, of a series that may have ended"),
        pytest.param([(30, 40)], range(30), [35], id="the newest ones, though one is stored"),
        pytest.param([(0, 12), (20, 40)], range(12, 20), range(40), id="both ends"),
    ],
)
def test_an_answer_that_lacks_a_long_end_was_cut_short(expected, values, stored):
    spoken = at(0), at(40)
    part = AnswerPart(Slice(query(), hours(0, 40)), [at(hour) for hour in values], spoken, 0, NOW.timestamp())
    trimmed = part.trimmed({at(hour): 1.0 for hour in stored})
    assert [lost.window for lost in trimmed.cut_off] == [hours(*window) for window in expected]
    assert trimmed.spoken == (
        spoken if not expected else (at(values[0] if expected[0][0] == 0 else 0), at(values[-1] + 1))
    )


def lost_seconds(windows):
    return [(at(start), at(end)) for start, end in windows]


def test_two_days_without_a_value_at_the_end_are_asked_for_again():
    part = AnswerPart(Slice(query(), hours(0, 100)), [at(hour) for hour in range(50)], (at(0), at(100)), 0, 0)
    assert [lost.window for lost in part.trimmed({}).cut_off] == [hours(50, 100)]

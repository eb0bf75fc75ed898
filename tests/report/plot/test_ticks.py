from datetime import UTC, datetime, timedelta

import pytest

from collector.model import Window
from collector.report.plot import chart

NOON = datetime(2026, 4, 30, 12, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expected", "duration"),
    [
        (["12:15", "12:30", "12:45", "13:00"], timedelta(hours=1)),
        (["18:00", "05-01", "06:00", "12:00"], timedelta(days=1)),
        (["Fri 05-01", "Sun 05-03", "Tue 05-05"], timedelta(days=7)),
        (["05-04", "05-11", "05-18", "05-25"], timedelta(days=28)),
        (["2026-07", "2026-10", "2027-01", "2027-04"], timedelta(days=360)),
        (["2027", "2029", "2031"], timedelta(days=6 * 365)),
    ],
)
def test_times_are_round_and_no_more_than_there_is_room_for(expected, duration):
    found = chart.time_ticks(Window(NOON, NOON + duration), 4)
    assert [text for _, text in found][: len(expected)] == expected
    assert len(found) <= 5
    assert all(NOON <= moment < NOON + duration for moment, _ in found)


@pytest.mark.parametrize(
    ("expected", "lowest", "highest"),
    [
        ([0, 50, 100, 150, 200, 250], 0, 232),
        ([240, 260, 280, 300], 243, 296),
        ([-4, -2, 0, 2, 4], -3, 4),
        ([0, 0.2, 0.4, 0.6, 0.8, 1], 0, 1),
        ([7, 8.0], 7, 7),
        ([0, 0.2], 0, 0),
    ],
)
def test_numbers_are_round_and_reach_over_all_values(expected, lowest, highest):
    found = chart.number_ticks(lowest, highest, 5)
    assert found[0] <= lowest
    assert found[-1] >= highest
    assert len(found) <= 7
    assert found == pytest.approx(sorted(found))
    if len(expected) > 2:
        assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("expected", "value"), [("0", 0), ("950", 950), ("1.25M", 1.25e6), ("-2k", -2000), ("0.125", 0.125), ("3T", 3e12)]
)
def test_a_number_is_written_short(expected, value):
    assert chart.tick_text(value) == expected

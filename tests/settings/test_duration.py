from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.settings.duration import between, parse, write


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (timedelta(seconds=30), "30s"),
        (timedelta(minutes=15), "15m"),
        (timedelta(hours=1), "1h"),
        (timedelta(days=2), "2d"),
        (timedelta(weeks=1), "1w"),
        (timedelta(0), "0s"),
        (timedelta(minutes=15), "015m"),
    ],
)
def test_a_number_and_a_unit_are_a_duration(expected, text):
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "s", "30", "30 s", " 30s", "30s\n", "-1s", "1.5h", "1h30m", "30S", "٣s", "1_0s", "1y"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        parse(text)


@pytest.mark.parametrize(
    ("expected", "text"), [("14d", "2w"), ("90s", "90s"), ("2m", "120s"), ("36h", "36h"), ("0s", "0d"), ("1d", "24h")]
)
def test_a_duration_is_written_in_its_largest_unit(expected, text):
    assert write(parse(text)) == expected


@given(st.integers(0, 10**9 - 1))
def test_what_is_written_is_read_back(seconds):
    assert parse(write(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("reason", "value"),
    [("too short", "0s"), ("too long", "11m"), ("not a duration", "soon"), ("not a duration in quotes", 30)],
)
def test_a_duration_out_of_bounds_is_refused(reason, value):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        between(value, timedelta(seconds=1), timedelta(minutes=10))


@pytest.mark.parametrize("value", ["1s", "10m", timedelta(seconds=5)])
def test_the_bounds_belong_to_what_is_allowed(value):
    assert between(value, timedelta(seconds=1), timedelta(minutes=10))

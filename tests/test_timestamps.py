"""Times as people write them: the same forms on the command line and in URLs."""

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from collector.cli.bootstrap import TIME
from collector.serve.api.parameters import QueryParameters, RequestRejected
from collector.timestamps import check_date, parse_time

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (NOW, "now"),
        (NOW - timedelta(minutes=90), "90m"),
        (NOW - timedelta(hours=1), "1h"),
        (NOW - timedelta(days=7), "7d"),
        (NOW - timedelta(weeks=2), " 2w "),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01"),
        (datetime(2026, 1, 1, 12, tzinfo=UTC), "2026-01-01T12:00:00Z"),
        (datetime(2026, 1, 1, 12, tzinfo=UTC), "2026-01-01t12:00:00z"),
        (datetime(2026, 1, 1, 10, tzinfo=UTC), "2026-01-01T12:00:00+02:00"),
    ],
)
def test_every_form_is_read(expected, text):
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1",
        "1y",
        "-1h",
        "1.5h",
        "٣h",
        "2026-13-01",
        "2026-01-01T12:00:00",
        "9" * 9 + "w",
        "0" * 5000 + "d",
    ],
)
def test_anything_else_is_refused_with_what_is_allowed_on_both_edges(text):
    with pytest.raises(ValueError, match="is not a time; allowed: a date such as 2026-01-31, an RFC 3339 time such as"):
        parse_time(text, NOW)
    with pytest.raises(click.BadParameter, match="is not a time; allowed: a date"):
        TIME.convert(text, None, None)
    with pytest.raises(RequestRejected, match=r"start: .* is not a time; allowed: a date"):
        QueryParameters({"start": [text]}, datetime.now(UTC)).time("start")


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00+02:00"])
def test_a_url_and_an_option_mean_the_same(text):
    assert (
        QueryParameters({"start": [text]}, datetime.now(UTC)).time("start")
        == TIME.convert(text, None, None)
        == parse_time(text, NOW)
    )


@pytest.mark.parametrize("text", ["now", "1h", "7d"])
def test_ages_are_counted_from_the_present_on_both_edges(text):
    pair = [QueryParameters({"start": [text]}, datetime.now(UTC)).time("start"), TIME.convert(text, None, None)]
    assert abs(pair[0] - pair[1]) < timedelta(seconds=10)
    assert abs(pair[0] - parse_time(text, datetime.now(UTC))) < timedelta(seconds=10)


def test_a_long_text_is_shown_in_part():
    with pytest.raises(ValueError, match="is not a time") as refused:
        parse_time("x" * 5000, NOW)
    assert len(str(refused.value)) < 300


EAST = timezone(timedelta(hours=14))


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2000, 1, 1, tzinfo=UTC),
        NOW,
        datetime(2026, 3, 11, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 3, 12, 13, tzinfo=EAST),
    ],
)
def test_a_date_from_2000_to_tomorrow_is_returned_in_utc(moment):
    assert check_date(moment, NOW) == moment
    assert check_date(moment, NOW).tzinfo is UTC


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=EAST),
        datetime(2, 1, 1, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2000, 1, 1, tzinfo=EAST),
        datetime(2026, 3, 12, tzinfo=UTC),
        datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=14))),
    ],
)
def test_any_other_date_is_refused_with_what_is_allowed(moment):
    with pytest.raises(ValueError, match=r" is out of range; allowed: 2000-01-01 to tomorrow, 2026-03-11$"):
        check_date(moment, NOW)

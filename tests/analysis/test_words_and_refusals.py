import re
from datetime import UTC, datetime, timedelta

import pytest

from collector.analysis.marks import POLICY, make_mark
from collector.analysis.periods import Per
from collector.analysis.refusals import why_no_period, why_overlapping
from collector.analysis.words import Words, make_words
from collector.errors import UsageError
from collector.interval import AggInterval, Grid
from tests.harness.factories import NOW, query


def test_words_are_read_from_text():
    assert make_words({"per": "month", "of": "all", "top": "5", "growth": "true", "mean": None}, NOW) == Words(
        per="month", share=True, of="all", top=5, growth=True, compare="previous"
    )
    assert make_words({"compare": "2025-01-01"}, NOW).compare == datetime(2025, 1, 1, tzinfo=UTC)
    assert not make_words({"share": "false"}, NOW)


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("per: 'moth' is not one of hour, day, week, month, quarter, year (did you mean \"month\"?)", {"per": "moth"}),
        ("unknown word 'pre' (did you mean \"per\"?)", {"pre": "day"}),
        ("top: '0' is not a whole number from 1 to 100000", {"top": "0"}),
        ("mean: '٣' is not a whole number", {"mean": "٣"}),
        ("mean: True is not a whole number", {"mean": True}),
        ("share: 'yes' is not one of true, false", {"share": "yes"}),
        ("compare: '3w' is not one of previous, 1w, 4w, 52w, usual, or a date", {"compare": "3w"}),
        ("compare: '2025-13-01' is not one of", {"compare": "2025-13-01"}),
        ("compare: 2030-01-01T00:00:00Z is out of range; allowed: 2000-01-01 to", {"compare": "2030-01-01"}),
        ("names no time zone", {"compare": datetime(2025, 1, 1)}),  # noqa: DTZ001 - what is rejected
    ],
)
def test_an_invalid_word_is_named(said, values):
    with pytest.raises(UsageError) as error:
        make_words(values, NOW)
    assert said in str(error.value)


ENTRIES = {"entryType": "PRECERTIFICATE"}


@pytest.mark.parametrize(
    ("problem", "queries"),
    [
        (None, [query(caOwner="A"), query(caOwner="B")]),
        (None, [query(caOwner="A", log="x"), query(caOwner="A", log="y"), query(caOwner="B", log="x")]),
        (None, [query(caOwner=("A", "B")), query(caOwner="C", uniqueEntries="true")]),
        (None, [query()]),
        ("tld: a certificate may name several", [query(tld="com"), query(tld="de")]),
        ("log: an entry lies in one log", [query(log="x", uniqueEntries="true"), query(log="y", uniqueEntries="true")]),
        ("one counts a part", [query(caOwner=("A", "B")), query(caOwner="B")]),
        ("one counts a part", [query(caOwner="A"), query()]),
        ("one counts a part", [query(caOwner="A"), query(validationLevel="DOMAIN")]),
    ],
)
def test_series_that_may_count_one_object_twice_overlap(problem, queries):
    said = why_overlapping({f"by/{number}": each for number, each in enumerate(queries)})
    assert (said is None) if problem is None else problem in said


@pytest.mark.parametrize(
    ("nearest", "per", "interval", "reason"),
    [
        (None, "day", "1h", None),
        (None, "hour", "1h", "no sums"),  # one bucket needs no sum
        ("the series' own buckets, without per", "day", "1h", "no sums"),
        ("per day", "hour", "1d", None),
        ("per week", "month", "1w", None),
    ],
)
def test_a_refused_period_comes_with_the_nearest_that_is_possible(nearest, per, interval, reason):
    problem = why_no_period(Per(per), Grid(AggInterval(interval)), reason)
    assert (problem and problem[1]) == nearest


def test_a_mark_is_a_moment_or_a_time():
    mark = make_mark("2027-03-15", " x ", "2027-03-16T12:00:00Z", "https://example.org")
    assert (mark.start, mark.end, mark.text) == (
        datetime(2027, 3, 15, tzinfo=UTC),
        datetime(2027, 3, 16, 12, tzinfo=UTC),
        "x",
    )
    assert mark.touches(mark.end, None)
    assert not mark.touches(mark.end + timedelta(1), None)
    assert not mark.touches(None, mark.start)


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("date: '2027-02-30' is not a time", ("2027-02-30", "x")),
        ("date: 1999-01-01T00:00:00Z is not between", ("1999-01-01", "x")),
        ("end: 2026-01-01T00:00:00Z is not after", ("2026-01-01", "x", "2026-01-01")),
        ("text: must have 1 to 200 printable characters", ("2026-01-01", "\u202ex")),
        ("text: must have", ("2026-01-01", " ")),
        ("url: must begin with", ("2026-01-01", "x", None, "javascript:alert(1)")),
    ],
)
def test_an_invalid_mark_is_rejected(said, values):
    with pytest.raises(ValueError, match=re.escape(said)):
        make_mark(*values)


def test_policy_dates_ascend_and_have_sources():
    assert [mark.start for mark in POLICY] == sorted(mark.start for mark in POLICY)
    assert all(mark.url.startswith("https://") and make_mark("2026-01-01", mark.text) for mark in POLICY)

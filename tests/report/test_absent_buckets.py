from __future__ import annotations

import pytest

from collector.interval import AggInterval
from collector.report.gaps import (
    AbsentBuckets,
    StoredExtent,
    absence_header,
    absence_rejection,
    absence_sentences,
    published_absences,
)
from collector.windows import absent_windows, intersect

HOUR = AggInterval.ONE_HOUR
H = 3600


def _hours(*hours):
    return [hour * H for hour in hours]


def _runs(*runs):
    return [(a * H, b * H) for a, b in runs]


@pytest.mark.parametrize(
    ("expected", "stored", "published"),
    [
        ([], range(6), 6),
        ([(2, 3), (4, 5)], (0, 1, 3, 5), 6),
        ([(0, 2), (3, 6)], (2,), 9),
        ([(0, 6)], (), 6),
        ([], (0, 1), 2.9),
        ([], (), 0.5),
    ],
)
def test_a_bucket_that_is_published_and_not_stored_is_absent(expected, stored, published):
    assert published_absences(_hours(*stored), (0, 6 * H), H, published * H) == _runs(*expected)


@pytest.mark.parametrize(
    ("words", "stored", "kept"),
    [
        (None, (2, 3), StoredExtent(HOUR, -H, 3 * H)),  # a gap
        (None, (2, 3), StoredExtent(HOUR, 2 * H, 3 * H, ((0, 2 * H),))),  # Radar's own history begins
        (None, (), StoredExtent(HOUR, 9 * H, 9 * H, ((-H, 9 * H),))),
        ("Nothing is stored from", (), StoredExtent(HOUR, 9 * H, 9 * H, ((0, 3 * H),))),
        ("Nothing is stored from", (), StoredExtent(HOUR, 9 * H, 9 * H, ((H, 9 * H),))),
        (None, (0, 2), StoredExtent(HOUR, 0, 3 * H)),
        (None, (0, 2), StoredExtent(HOUR, None, None)),
        (None, (2,), StoredExtent(HOUR, 0, 3 * H)),
        (None, (2,), StoredExtent(HOUR, 9 * H, 9 * H, ((5 * H, 9 * H), (0, 2 * H)))),
        ("before the history", (2,), StoredExtent(HOUR, 2 * H, 3 * H)),
        ("before the history", (2,), StoredExtent(HOUR, 2 * H, 3 * H, ((0, H),))),
        ("The range begins at 1970-01-01T00:00:00Z, before the history", (), StoredExtent(HOUR, H, 3 * H)),
        ("Nothing is stored from 1970-01-01T00:00:00Z to 1970-01-01T04:00:00Z", (), StoredExtent(HOUR, 0, 3 * H)),
        ("Nothing is stored from 1970-01-01T00:00:00Z to 1970-01-01T04:00:00Z", (), StoredExtent(HOUR, 4 * H, 9 * H)),
        (
            "Nothing is stored from 1970-01-01T00:00:00Z on: the history has no bucket yet",
            (),
            StoredExtent(HOUR, 0, None),
        ),
        ("The range begins at 1970-01-01T00:00:00Z, before the history", (2, 3), StoredExtent(HOUR, 2 * H, 3 * H)),
        ("before the history", (2, 3), StoredExtent(HOUR, 2 * H, 3 * H, ((H, 2 * H),))),
        ("the first stored 1h bucket is 1970-01-01T09:00:00Z, the last one is", (), StoredExtent(HOUR, 9 * H, 12 * H)),
        ("Nothing is stored from 1970-01-01T00:00:00Z to 1970-01-01T04:00:00Z", (), StoredExtent(HOUR, -H, 9 * H)),
        ("the history has no bucket yet", (), StoredExtent(HOUR, None, None)),
    ],
)
def test_a_range_that_is_not_stored_or_begins_before_the_history_is_rejected(words, stored, kept):
    asked, timestamps = (0, 4 * H), _hours(*stored)
    why = absence_rejection(timestamps, asked, absent_windows(timestamps, *asked, H), kept)
    assert why == words if words is None else words in why


def test_only_buckets_that_all_parts_lack_are_proven_absent():
    assert intersect(_runs((0, 4)), _runs((4, 7), (8, 9))) == []
    assert intersect(_runs((0, 4), (6, 9)), _runs((2, 7))) == [(2 * H, 4 * H), (6 * H, 7 * H)]


def test_a_few_windows_are_listed_and_the_others_counted():
    found = [
        AbsentBuckets("a", HOUR, tuple(_runs((0, 1), (2, 4), (5, 9)))),
        AbsentBuckets("b", HOUR, tuple(_runs((0, 1)))),
    ]
    first, second = absence_sentences(found, max_windows=2)
    assert first == (
        "a: 1h buckets absent: 1970-01-01T00:00:00Z..1970-01-01T00:00:00Z (1), "
        "1970-01-01T02:00:00Z..1970-01-01T03:00:00Z (2), and others (4)"
    )
    assert second == "b: 1h buckets absent: in all (1)"
    assert absence_header(found).startswith("a: 1h buckets absent: 1970")
    assert len(absence_header([AbsentBuckets("\n" * 5000, HOUR, tuple(_runs((0, 1))))])) < 200


def test_a_header_lists_24_windows_of_all_series_and_encodes_names():
    runs = _runs(*((2 * n, 2 * n + 1) for n in range(25)))
    one, other = (AbsentBuckets(name, HOUR, tuple(runs[:count])) for name, count in (("a é%", 23), ("b", 25)))
    first, second = absence_header([one, other]).split("; ")
    assert first.startswith("a %C3%A9%25: 1h buckets absent: 1970-01-01T00:00:00Z..1970-01-01T00:00:00Z (1), 1970")
    assert first.endswith("1970-01-02T20:00:00Z..1970-01-02T20:00:00Z (1)")
    assert second == ("b: 1h buckets absent: 1970-01-01T00:00:00Z..1970-01-01T00:00:00Z (1), and others (24)")
    assert absence_header([AbsentBuckets("n" * 81, HOUR, ())]).partition(":")[0] == "n" * 80


@pytest.mark.parametrize(
    ("expected", "timestamps"),
    [([(0, 6)], []), ([], [0, 2, 4]), ([(0, 2)], [2, 4]), ([(4, 6)], [0, 2]), ([(2, 4)], [0, 4])],
)
def test_the_listed_windows_are_those_without_timestamps(expected, timestamps):
    assert absent_windows(timestamps, 0, 6, 2) == expected


def test_a_range_after_the_published_end_has_no_absent_buckets():
    assert published_absences([], (4 * H, 6 * H), H, 2 * H) == []
    assert published_absences([], (4 * H, 6 * H), H, 5.5 * H) == _runs((4, 5))

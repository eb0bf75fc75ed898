from __future__ import annotations

import pytest

from collector.serve.radar_api.resolver import SeriesIndex
from collector.store import StoredSeries
from tests.harness.factories import query as _query


def _kept(number, query, normalization="RAW_VALUES", unit="*"):
    return StoredSeries(number, query, normalization, unit, (f"profile-{number}",))


def _sources(asked, *stored, **measure):
    kept = [_kept(n, query, **measure) for n, query in enumerate(stored)]
    return [[part.id for part in source.parts] for source in SeriesIndex(kept).matches(asked)]


def _refusal(asked, *kept):
    refused = SeriesIndex(kept).rejection(asked)
    return refused.error_code.status, refused.error_code.code, refused.message


@pytest.mark.parametrize(
    ("expected", "asked", "stored"),
    [
        ([], _query(), []),
        ([[0]], _query(), [_query()]),
        ([], _query(), [_query(tld=["com"])]),
        ([], _query(tld=["com"]), [_query()]),
        ([[0]], _query(ca=["A", "B"], tld=["x1"]), [_query(tld=["x1"], ca=["B", "A", "A"])]),
        ([[0]], _query("1d"), [_query("1h")]),
        ([[2], [1], [0]], _query("1w"), [_query("15m"), _query("1h"), _query("1d")]),
        ([[1], [0]], _query("1h"), [_query("15m"), _query("1h"), _query("1d")]),
        ([], _query("15m"), [_query("1h")]),
        ([[0, 1]], _query(ca=["A", "B"]), [_query(ca=["A"]), _query(ca=["B"])]),
        ([[0, 1]], _query("1d", ca=["B", "A", "A"]), [_query(ca=["A"]), _query(ca=["B"])]),
        ([[2], [0, 1]], _query(ca=["A", "B"]), [_query(ca=["A"]), _query(ca=["B"]), _query(ca=["A", "B"])]),
        ([], _query(ca=["A", "B"]), [_query(ca=["A"])]),
        ([], _query(ca=["A", "B"]), [_query("1h", ca=["A"]), _query("15m", ca=["B"])]),
        ([], _query(tld=["com", "org"]), [_query(tld=["com"]), _query(tld=["org"])]),
        ([[0, 1]], _query(ca=["A", "B"], tld=["x1", "x2"]), [_query(ca=[c], tld=["x1", "x2"]) for c in "AB"]),
        ([], _query(ca=["A", "B"], tld=["x1"]), [_query(ca=[c], tld=["x2"]) for c in "AB"]),
    ],
)
def test_a_query_is_answered_from_the_series_of_its_filters(expected, asked, stored):
    assert _sources(asked, *stored) == expected


def test_only_counts_are_added_up():
    assert _sources(_query("1d"), _query("1h"), normalization="PERCENTAGE") == []
    assert _sources(_query("1h"), _query("1h"), normalization="PERCENTAGE") == [[0]]
    assert _sources(_query(ca=["A", "B"]), _query(ca=["A"]), _query(ca=["B"]), normalization="PERCENTAGE") == []


def test_counts_of_different_things_are_not_added_up():
    kept = [_kept(n, _query(ca=[ca]), unit=unit) for n, (ca, unit) in enumerate([("A", "entries"), ("B", "names")])]
    assert SeriesIndex(kept).matches(_query(ca=["A", "B"])) == []


def test_a_series_that_was_never_answered_answers_nothing():
    assert _sources(_query(), _query(), normalization="") == []


@pytest.mark.parametrize(
    ("name", "values"),
    [("tld", ["com", "org"]), ("expirationStatus", ["VALID", "EXPIRED"]), ("uniqueEntries", ["true", "false"])],
)
def test_values_that_may_share_certificates_are_not_added_up(name, values):
    assert _sources(_query(**{name: values}), *(_query(**{name: [value]}) for value in values)) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("log", ["A", "B"]),
        ("logApi", ["RFC6962", "STATIC"]),
        ("logOperator", ["A", "B"]),
        ("entryType", ["CERTIFICATE", "PRECERTIFICATE"]),
    ],
)
def test_values_of_entries_are_added_up_unless_certificates_are_counted_once(name, values):
    assert _sources(_query(**{name: values}), *(_query(**{name: [value]}) for value in values)) == [[0, 1]]
    unique = {"uniqueEntries": ["true"]}
    parts = [_query(**{name: [value]}, **unique) for value in values]
    assert _sources(_query(**{name: values}, **unique), *parts) == []


@pytest.mark.parametrize("filters", [{"uniqueEntries": ["true"]}, {"expirationStatus": ["VALID"]}])
def test_counts_that_do_not_add_up_over_time_answer_at_their_own_interval_only(filters):
    assert _sources(_query("1d", **filters), _query("1h", **filters)) == []
    assert _sources(_query("1h", **filters), _query("1h", **filters)) == [[0]]
    status, code, message = _refusal(_query("1d", **filters), _kept(1, _query("1h", **filters)))
    assert (status, code) == (400, 2001)
    assert f"is kept at 1h and cannot be summed to 1d, for {next(iter(filters))}: " in message


def test_parts_that_do_not_add_up_over_time_are_not_added_up_over_values_and_time():
    parts = [_query("1h", uniqueEntries=["true"], ca=[ca]) for ca in "AB"]
    assert _sources(_query("1h", uniqueEntries=["true"], ca=["A", "B"]), *parts) == [[0, 1]]
    assert _sources(_query("1d", uniqueEntries=["true"], ca=["A", "B"]), *parts) == []


@pytest.mark.parametrize(
    ("status", "code", "words", "asked", "kept"),
    [
        (404, 7003, "no profile has been collected", _query(), []),
        (404, 7003, "the nearest profiles are 'profile-1' (1h, tld = com)", _query(tld=["org"]), [_query(tld=["com"])]),
        (404, 7003, "no history for tld = com or org", _query(tld=["org", "com"]), [_query()]),
        (
            400,
            2001,
            "aggInterval 15m is too granular: history for these filters is kept at 1h",
            _query("15m"),
            [_query()],
        ),
    ],
)
def test_a_rejection_names_the_history_that_exists(status, code, words, asked, kept):
    found = _refusal(asked, *(_kept(n, query) for n, query in enumerate(kept, start=1)))
    assert found[:2] == (status, code)
    assert words in found[2]


def test_a_rejection_says_that_values_cannot_be_summed():
    status, code, message = _refusal(_query("1d"), _kept(1, _query(), "PERCENTAGE"))
    assert (status, code) == (400, 2001)
    assert "cannot be summed to 1d, for its normalization is PERCENTAGE" in message


def test_a_rejection_says_that_nothing_was_collected_yet():
    status, code, message = _refusal(_query(), _kept(1, _query(), ""))
    assert (status, code) == (404, 7003)
    assert "Nothing has been collected yet for 'profile-1'" in message


def test_the_nearest_profiles_come_first_and_are_few():
    near = [_query(caOwner=[name]) for name in ("Google", "DigiCert, Inc.", "Sectigo")]
    far = [_query(), _query(tld=["com"]), _query(hasIps=["true"])]
    *_, message = _refusal(_query(caOwner=["Digicert"]), *(_kept(n, q) for n, q in enumerate(far + near)))
    assert message.partition("are ")[2].startswith("'profile-4'")
    assert message.count("profile-") == 3
    assert len(message) < 400


@pytest.mark.parametrize(
    ("expected", "stored"),
    [
        ([2, 1], [{"ca": ["A"], "tld": ["x1"], "hasIps": ["true"], "log": ["L"]}, {"ca": ["A"]}]),
        ([2, 1], [{"caOwner": ["A"]}, {"ca": ["Z"]}]),
        ([2, 1], [{"ca": ["Z"]}, {"ca": ["Ab"]}]),
        ([1, 2], [{"ca": ["Z"]}, {"ca": ["Z"], "tld": ["x1"]}]),
        ([2, 1], [{}, {"ca": ["a"]}]),
    ],
)
def test_profiles_are_near_by_their_share_of_equal_filters_and_then_by_spelling(expected, stored):
    *_, message = _refusal(
        _query("1d", ca=["A"], hasIps=["false"]), *(_kept(n, _query(**q)) for n, q in enumerate(stored, 1))
    )
    names = message.partition("nearest profiles are ")[2].split("'")[1::2]
    assert names == [f"profile-{number}" for number in expected]


def test_equally_near_profiles_are_sorted_by_name_and_those_without_a_name_are_left_out():
    kept = [_kept(n, _query(interval, ca=["A"])) for n, interval in ((3, "15m"), (1, "1h"), (2, "1w"))]
    kept.append(StoredSeries(4, _query("1d", ca=["A"]), "RAW_VALUES", "*", ()))
    *_, message = _refusal(_query(tld=["com"]), *kept)
    assert message == (
        "There is no history for tld = com; the nearest profiles are 'profile-1' (1h, ca = A), "
        "'profile-2' (1w, ca = A), 'profile-3' (15m, ca = A)"
    )
    *_, message = _refusal(_query(), kept[-1])
    assert message == "There is no history for a series without filters; no profile has been collected"


def test_a_rejection_names_a_series_without_a_profile_by_its_id():
    *_, message = _refusal(_query(), StoredSeries(7, _query(), "", "", ()))
    assert message == "Nothing has been collected yet for 'series 7' (1h, no filter)"


def test_the_measure_of_a_sum_is_that_of_its_first_part():
    kept = [_kept(n, _query(ca=[ca]), unit=unit) for n, (ca, unit) in enumerate([("A", "Names"), ("B", "names ")])]
    [source] = SeriesIndex(kept).matches(_query(ca=["A", "B"]))
    assert source.measure == ("RAW_VALUES", "Names")


def test_a_rejection_is_short():
    *_, message = _refusal(_query(ca=["A" * 900]), *(_kept(n, _query(ca=["B" * 900])) for n in range(5)))
    assert len(message) < 700

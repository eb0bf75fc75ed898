from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contract.request_parser import decode_query, parse_request
from collector.contract.response import ApiError
from collector.datasets import DEFAULT
from collector.interval import AggInterval
from collector.simulator import TOO_COSTLY, SimulatorOptions
from collector.timestamps import utc

NOW = utc("2026-08-14T10:07:00Z").timestamp()

ONE_DAY = "dateStart=2026-08-01T00:00:00Z&dateEnd=2026-08-02T00:00:00Z"


def _read(query, **options):
    return parse_request(DEFAULT, decode_query(query), SimulatorOptions(**options), NOW)


def _filters(query, **options):
    return [dict(asked.query.filters) for asked in _read(query, **options).series]


def _refusal(query, **options):
    with pytest.raises(ApiError) as refused:
        _read(query, **options)
    return refused.value.error_code.status, refused.value.error_code.code


def test_it_works():
    question = _read("aggInterval=1h&dateRange=1d&format=json&name=all&tld=com")
    assert question.agg_interval is AggInterval.ONE_HOUR
    assert question.format == "JSON"
    assert [asked.name for asked in question.series] == ["all"]
    assert question.series[0].query.filters == {"tld": ("com",)}


def test_a_request_without_parameters_has_one_unfiltered_series():
    question = _read("")
    assert [(asked.name, dict(asked.query.filters)) for asked in question.series] == [("serie_0", {})]
    assert question.agg_interval is AggInterval.ONE_HOUR


def test_the_position_in_every_array_makes_the_series():
    question = _read("name=a&name=&name=c&dateRange=1d&dateRange=1dcontrol&dateRange=1d&tld=com&tld=&ca=&ca=R12")
    assert [asked.name for asked in question.series] == ["a", "serie_1", "c"]
    assert [dict(asked.query.filters) for asked in question.series] == [{"tld": ("com",)}, {"ca": ("R12",)}, {}]
    assert question.series[0].start - question.series[1].start == 7 * 86_400


@pytest.mark.parametrize(
    "dates", ["dateRange=1dControl", "dateStart=2026-08-01T00:00:00Z&dateEnd=2026-08-02T00:00:00Z"]
)
def test_one_date_alone_is_that_of_every_position(dates):
    shared = _read(f"{dates}&name=a&name=b&tld=com&tld=&tld=net")
    each = _read(f"{dates}&{dates}&{dates}&name=a&name=b&tld=com&tld=&tld=net")
    assert (shared, len(shared.series)) == (each, 3)


def test_several_dates_belong_to_their_positions():
    question = _read("dateRange=7d&dateRange=7dControl&name=a&name=b&name=c")
    assert [asked.start == question.series[0].start for asked in question.series] == [True, False, True]
    dates = "dateRange=&dateRange=1d&dateStart=2026-08-01T00:00:00Z&dateEnd=2026-08-02T00:00:00Z"
    assert len({asked.start for asked in _read(dates).series}) == 2


def test_an_empty_filter_can_be_rejected():
    assert _refusal("tld=com&tld=&dateRange=1d&dateRange=1d", empty_values=False) == (400, 2001)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (("DigiCert, Inc.",), "DigiCert%252C%20Inc."),
        (("DigiCert, Inc.",), "DigiCert%252c+Inc."),
        (("A", "B"), "A,B"),
        (("A", "B"), "A%2CB"),
        (("DigiCert, Inc.", "B"), "DigiCert%252C%20Inc.,B"),
        (("Müller & Söhne",), "M%C3%BCller%20%26%20S%C3%B6hne"),
        (("50%",), "50%2525"),
        (("50%",), "50%25"),
    ],
)
def test_a_comma_is_an_or_unless_it_was_encoded_twice(expected, text):
    assert _filters(f"caOwner={text}") == [{"caOwner": expected}]


def test_a_name_whose_comma_was_encoded_once_is_rejected():
    assert _refusal("caOwner=DigiCert%2C%20Inc.") == (400, 2001)


@pytest.mark.parametrize("name", ["TLD", "ca_owner", "caowner", "limit", "normalization", "dateRange[]", ""])
def test_an_unknown_parameter_is_ignored(name):
    assert _filters(f"{name}=nonsense") == [{}]


@pytest.mark.parametrize("parameter", [p for p in DEFAULT.parameters if p.values], ids=lambda p: p.name)
def test_every_enumerated_filter_accepts_its_values_and_no_other(parameter):
    assert _filters(f"{parameter.name}={','.join(parameter.values)}") == [{parameter.name: parameter.values}]
    assert _refusal(f"{parameter.name}=NONSENSE") == (400, 2001)
    assert _refusal(f"{parameter.name}={parameter.values[0]},") == (400, 2001)


@pytest.mark.parametrize(
    "query",
    [
        "tld=COM",
        "tld=.com",
        "tld=c",
        "tld=" + "a" * 64,
        "log=" + "a" * 101,
        "logOperator=" + "a" * 101,
        "hasIps=True",
        "hasIps=1",
        "aggInterval=2h",
        "aggInterval=",
        "aggInterval=1H",
        "aggInterval=1h&aggInterval=1h",
        "format=xml",
        "format=JSON&format=JSON",
        "dateRange=1y",
        "ca=%ff",
        "tld=com&log=x",
        "tld=com&logApi=STATIC",
        "tld=com&logOperator=x",
        "tld=com&entryType=CERTIFICATE",
        "name=a&name=a",
        "name=meta",
        "name=serie_1&name=",
        "dateRange=1d&dateRange=2d",
        f"{ONE_DAY}&dateStart=2026-08-01T00:00:00Z&dateEnd=2026-08-02T00:15:00Z",
    ],
)
def test_an_invalid_value_of_a_known_parameter_is_rejected(query):
    assert _refusal(query) == (400, 2001)


def test_tld_and_log_may_stand_in_different_series():
    assert _filters("tld=com&tld=&log=&log=x&dateRange=1d&dateRange=1d") == [{"tld": ("com",)}, {"log": ("x",)}]


def test_equal_names_may_overwrite_instead():
    question = _read("name=a&name=a&dateRange=1d&dateRange=1d", equal_names="overwrite")
    assert [asked.name for asked in question.series] == ["a", "a"]


def test_an_interval_that_is_too_fine_is_rejected_in_either_way():
    assert _read("dateRange=7d&aggInterval=15m").agg_interval == "15m"
    assert _refusal("dateRange=8d&aggInterval=15m") == (400, 2001)
    assert _refusal("dateRange=72d&aggInterval=1h", span_error=TOO_COSTLY) == (422, 2002)
    day = {AggInterval.FIFTEEN_MINUTES: timedelta(days=1)}
    assert _refusal("dateRange=2d&aggInterval=15m", max_span=day) == (400, 2001)


def test_an_interval_without_a_limit_takes_any_span():
    assert _read("dateRange=364d&aggInterval=15m", max_span={}).agg_interval == "15m"


def test_too_many_series_are_rejected_in_either_way():
    query = "&".join(["dateRange=1d"] * 3)
    assert len(_read(query, series_per_request=3).series) == 3
    assert _refusal(query, series_per_request=2) == (400, 2001)
    assert _refusal(query, series_per_request=2, series_error=TOO_COSTLY) == (422, 2002)


PARAMETERS = st.sampled_from(
    ["name", "dateRange", "dateStart", "dateEnd", "aggInterval", "format", *DEFAULT.filters, "other"]
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["1d", "7dcontrol", "com", "2026-08-01T00:00:00Z", "1h", "true", "R12,E7", "a%2Cb", ""]),
)


@given(st.lists(st.tuples(PARAMETERS, VALUES), max_size=6))
def test_any_query_is_answered_or_rejected(pairs):
    with suppress(ApiError):
        assert _read(urlencode(pairs)).series


def test_a_request_can_be_placed_at_another_interval():
    question = _read("dateRange=1d&name=a&tld=com")
    assert question.auto
    assert question.at(AggInterval.ONE_HOUR) == replace(_read("dateRange=1d&aggInterval=1h&name=a&tld=com"), auto=True)


def test_a_relative_range_ends_at_the_day_that_is_given():
    then = utc("2026-05-01T00:07:00Z").timestamp()
    question = parse_request(DEFAULT, decode_query("dateRange=1d"), SimulatorOptions(), NOW, then)
    assert question.series[0].dates.end == utc("2026-05-01T00:00:00Z").timestamp()


def test_a_long_received_text_is_cut_in_an_error():
    with pytest.raises(ApiError) as refused:
        _read("tld=" + "A" * 2000)
    assert len(refused.value.message) < 200


def test_a_request_has_its_buckets_its_format_and_whether_it_named_an_interval():
    question = _read("dateRange=1d&dateRange=1dcontrol&aggInterval=1h")
    assert (question.buckets, question.format, question.auto) == (2 * 25, "JSON", False)
    assert (_read("format=csv").format, _read("").auto) == ("CSV", True)


@pytest.mark.parametrize(
    ("words", "query"),
    [
        ("aggInterval: expected one value, received 2", "aggInterval=1h&aggInterval=1h"),
        ("aggInterval: expected one of 15m, 1h, 1d, 1w, received '2h'", "aggInterval=2h"),
        ("format: expected one of JSON, CSV, received 'xml'", "format=xml"),
        ("At most 2 series can be requested", "dateRange=1d&dateRange=1d&dateRange=1d"),
        ("All series must have the same duration", "dateRange=1d&dateRange=2d"),
        ("aggInterval 15m is too granular for the date range", "dateRange=8d&aggInterval=15m"),
        ("A filter must not be empty", "tld="),
        ("every series needs a name of its own other than 'meta'", "name=meta"),
        ("tld cannot be combined with entryType, log", "tld=com&log=x&entryType=CERTIFICATE"),
        ("hasIps: expected one of .*, received 'x'", "hasIps=x"),
        ("The query string is not UTF-8", "ca=%ff"),
    ],
)
def test_an_error_names_the_problem(words, query):
    with pytest.raises(ApiError, match=words):
        _read(query, series_per_request=2, empty_values=False)


def test_a_span_of_exactly_the_limit_is_answered():
    limit = {AggInterval.FIFTEEN_MINUTES: timedelta(days=2)}
    assert _read("dateRange=2d&aggInterval=15m", max_span=limit).agg_interval == "15m"


def test_an_empty_name_is_no_empty_filter():
    assert [asked.name for asked in _read("name=&tld=com", empty_values=False).series] == ["serie_0"]

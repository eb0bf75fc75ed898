from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contract.response import ApiError
from collector.datasets import DEFAULT
from collector.interval import AggInterval
from collector.serve.radar_api.parameters import parse_query
from collector.timestamps import utc

NOW = utc("2026-08-14T10:07:00Z").timestamp()
YEARS = "dateStart=2016-08-01T00:00:00Z&dateEnd=2026-08-01T00:00:00Z&aggInterval=15m"


def _read(raw_query):
    return parse_query(DEFAULT, raw_query, NOW)


def test_it_works():
    local = _read("aggInterval=1h&dateRange=1d&name=all&tld=com")
    [series] = local.request.series
    assert (local.as_of, series.name, series.query.filters) == (None, "all", {"tld": ("com",)})


@pytest.mark.parametrize("name", ["caOwner", "ca_owner", "CAOWNER", "Ca_Owner"])
def test_a_parameter_is_known_by_any_spelling(name):
    [series] = _read(f"{name}=Nobody&AGG_INTERVAL=1d").request.series
    assert series.query.filters == {"caOwner": ("Nobody",)}
    assert series.query.agg_interval is AggInterval.ONE_DAY


@pytest.mark.parametrize("name", ["ca-owner", "caOwner[]", "limit", "normalization", ""])
def test_an_unknown_parameter_is_ignored(name):
    [series] = _read(f"{name}=nonsense").request.series
    assert series.query.filters == {}


@pytest.mark.parametrize("name", ["as_of", "asOf"])
def test_a_relative_range_ends_at_as_of(name):
    local = _read(f"{name}=2026-08-01T00:07:00.5Z&dateRange=1d")
    assert local.as_of == utc("2026-08-01T00:07:00.5Z").timestamp()
    assert local.request.series[0].dates.end == utc("2026-08-01T00:00:00Z").timestamp()


@pytest.mark.parametrize(
    "query",
    [
        "as_of=yesterday",
        "as_of=2026-08-14T10:07:01Z",
        "as_of=2026-08-01T00:00:00Z&asOf=2026-08-02T00:00:00Z",
        "as_of=",
        "dateRange=1d&dateRange=2d",
        "tld=com&log=x",
        "aggInterval=1m",
        "&".join(["dateRange=1d"] * 101),
    ],
)
def test_an_invalid_query_is_rejected(query):
    with pytest.raises(ApiError) as refused:
        _read(query)
    assert (refused.value.error_code.status, refused.value.error_code.code) == (400, 2001)


def test_history_has_no_limits_on_spans():
    assert _read(YEARS).request.agg_interval is AggInterval.FIFTEEN_MINUTES


NAMES = st.sampled_from(
    ["name", "dateRange", "date_start", "dateEnd", "aggInterval", "format", "as_of", *DEFAULT.filters, "x"]
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["1d", "7dcontrol", "com", "2026-08-01T00:00:00Z", "1h", "true", "R12,E7", "a%2Cb", ""]),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_any_query_is_parsed_or_rejected(pairs):
    with suppress(ApiError):
        assert _read(urlencode(pairs)).request.series

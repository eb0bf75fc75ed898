"""Requests by a dimension: what is accepted, and what is rejected in the API's words."""

from __future__ import annotations

import pytest

from collector.contract.group_parser import SERIES, SUMMARY, GroupsPlace, parse_groups
from collector.contract.request_parser import decode_query
from collector.contract.response import ApiError
from collector.datasets import DEFAULT
from collector.simulator import SimulatorOptions
from tests.harness.factories import NOW


def _parsed(dimension, raw_query, folder=SERIES):
    place = GroupsPlace(DEFAULT, folder, dimension)
    return parse_groups(place, decode_query(raw_query), SimulatorOptions(), NOW.timestamp())


def test_it_works():
    groups = _parsed("CA_OWNER", "aggInterval=1d&limitPerGroup=5&normalization=PERCENTAGE&name=a&name=b&tld=&tld=com")
    assert (groups.parameter.name, groups.most, groups.normalization) == ("caOwner", 5, "PERCENTAGE")
    assert groups.request.agg_interval == "1d"
    assert [position.name for position in groups.request.series] == ["a", "b"]


def test_a_sum_has_no_interval_and_names_of_its_own():
    groups = _parsed("DURATION", "aggInterval=1w&dateRange=7d&dateRange=7dcontrol&name=&name=before", SUMMARY)
    assert (groups.is_summary, groups.most, groups.normalization) == (True, None, "RAW_VALUES")
    assert groups.request.agg_interval == "1h"
    assert [position.name for position in groups.request.series] == ["summary_0", "before"]


@pytest.mark.parametrize(
    ("expected", "dimension", "raw_query"),
    [
        ("dimension: expected one of CA, CA_OWNER, DURATION", "ca_owner", ""),
        ("limitPerGroup: expected an integer from 2 to 999999999, received '1'", "CA_OWNER", "limitPerGroup=1"),
        ("limitPerGroup: expected an integer from 2 to 999999999, received '٣'", "CA_OWNER", "limitPerGroup=٣"),
        (
            "limitPerGroup: expected an integer from 2 to 999999999, received '1000000000'",
            "CA_OWNER",
            "limitPerGroup=1000000000",
        ),
        ("limitPerGroup: expected one value, received 2", "CA_OWNER", "limitPerGroup=2&limitPerGroup=3"),
        ("limitPerGroup: only with CA, CA_OWNER, LOG, LOG_OPERATOR, TLD, not with", "DURATION", "limitPerGroup=5"),
        ("normalization: expected one of RAW_VALUES, PERCENTAGE, received 'x'", "CA_OWNER", "normalization=x"),
        ("tld cannot be combined with log", "TLD", "log=a"),
        ("tld cannot be combined with logOperator", "LOG_OPERATOR", "tld=com"),
        ("tld cannot be combined with entryType, log", "CA", "tld=com&log=a&entryType=CERTIFICATE"),
        ("duration: expected one of", "CA", "duration=x"),
    ],
)
@pytest.mark.parametrize("folder", [SERIES, SUMMARY])
def test_what_the_api_rejects_is_rejected(expected, dimension, raw_query, folder):
    with pytest.raises(ApiError) as refused:
        _parsed(dimension, raw_query, folder)
    assert refused.value.error_code.status == 400
    assert refused.value.message.startswith(expected)

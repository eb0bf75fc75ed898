"""Answers by dimension: which key is which group, what is left, and what is refused."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from collector.collect.planning import group_limits
from collector.collect.planning.group_limits import GroupLimit
from collector.interval import AggInterval
from collector.model import Batch, Question, Remainder, Slice, Window
from collector.radar.errors import Untrusted
from collector.radar.response import parse_answer

START = datetime(2026, 3, 1, tzinfo=UTC)
NOON = int(START.timestamp())
WINDOW = Window(START, START + timedelta(hours=2))
TIMES = '"timestamps":["2026-03-01T00:00:00Z","2026-03-01T01:00:00Z"]'


def body(series, normalization="RAW_VALUES"):
    meta = {"aggInterval": "ONE_HOUR", "lastUpdated": "2026-03-02T00:00:00Z", "normalization": normalization}
    return f'{{"success":true,"errors":[],"result":{{"meta":{json.dumps(meta)},"serie_0":{{{series}}}}}}}'.encode()


def parsed(series, dimension="CA_OWNER", normalization="RAW_VALUES", most_groups=0):
    question = Question(AggInterval.ONE_HOUR, {}, dimension=dimension, most_groups=most_groups)
    answer = parse_answer(body(series, normalization), Batch((Slice(question, WINDOW),)))
    (points,) = answer.series
    return points, answer.deviations


def columns(points):
    return {name: dict(zip(group.timestamps, group.values, strict=True)) for name, group in points.groups.items()}


def test_it_works():
    points, _ = parsed(f'{TIMES},"A":["5","6"],"B, Inc.":["1",null],"other":["2","0"]')
    assert columns(points) == {"A": {NOON: 5, NOON + 3600: 6}, "B, Inc.": {NOON: 1}}
    assert list(points.values) == [8, 6]
    assert points.remainders == {NOON: Remainder(2, 11)}  # no group that is not listed has more than A in the window
    assert points.remainders[NOON].most == 2


def test_a_group_that_lacks_a_value_bounds_no_other_one():
    points, _ = parsed(f'{TIMES},"A":["5","6"],"B":["1","0"],"C":[null,"1"],"other":["2","3"]')
    assert [left.most for left in points.remainders.values()] == [1, 1]
    points, _ = parsed(f'{TIMES},"C":[null,"1"],"other":["2","3"]')
    assert [left.most for left in points.remainders.values()] == [2, 3]
    with pytest.raises(Untrusted, match="all of these lack values"):
        parsed(f'{TIMES},"A":[null,"6"],"B":["1",null]', most_groups=2)


def test_what_is_left_is_no_bound_if_it_is_negative_or_a_listed_group_has_nothing():
    points, deviations = parsed(f'{TIMES},"A":["5","6"],"B":["1","2"],"other":["-2","4"]')
    assert [left.most for left in points.remainders.values()] == [3, 3]
    assert [*points.values] == [4, 12]
    assert "what is left beside the listed groups is negative" in deviations
    points, _ = parsed(f'{TIMES},"A":["5","6"],"B":["0","0"],"other":["2","3"]')
    assert [left.most for left in points.remainders.values()] == [2, 3]


@pytest.mark.parametrize("wrong", ['"n/a"', '""', '"1e999"', "true"])
def test_a_bucket_with_a_value_that_cannot_be_read_is_left_out(wrong):
    points, _ = parsed(f'{TIMES},"A":["5","6"],"B":["1",{wrong}],"other":["2","3"]')
    assert columns(points) == {"A": {NOON: 5}, "B": {NOON: 1}}
    assert ([*points.values], [*points.remainders]) == ([8], [NOON])


def test_a_bucket_whose_rest_is_null_beside_numbers_is_left_out():
    points, deviations = parsed(f'{TIMES},"A":["5","6"],"B":["1","2"],"other":["2",null]', most_groups=2)
    assert columns(points) == {"A": {NOON: 5}, "B": {NOON: 1}}
    assert ([*points.values], [*points.remainders]) == ([8], [NOON])
    assert "buckets whose rest beside the listed groups is null are left out" in deviations


def test_a_record_without_the_rest_that_another_record_has_is_left_out():
    records = '[{"timestamp":"2026-03-01T00:00:00Z","A":"5","other":"0"},{"timestamp":"2026-03-01T01:00:00Z","A":"6"}]'
    points, _ = parsed(f'"data":{records}')
    assert columns(points) == {"A": {NOON: 5}}


@pytest.mark.parametrize("most_groups", [0, 2])
def test_a_rest_of_nothing_but_nulls_is_like_none(most_groups):
    without, _ = parsed(f'{TIMES},"A":["5","6"],"B":["1",null]', most_groups=most_groups)
    points, _ = parsed(f'{TIMES},"A":["5","6"],"B":["1",null],"other":[null,null]', most_groups=most_groups)
    assert points == without


@pytest.mark.parametrize("rest", ['["n/a","n/a"]', '[null,"n/a"]', '["n/a","3"]', '["n/a",null]'])
def test_a_rest_that_cannot_be_read_is_not_like_none(rest):
    points, _ = parsed(f'{TIMES},"A":["5","6"],"B":["1","2"],"other":{rest}')
    assert [*points.values] == ([11] if '"3"' in rest else [])


PLACED = {
    "records": '[{"timestamp":"2026-03-01T00:00:00Z","A":"5"},{"timestamp":"2026-03-01T01:00:00Z","A":"6","B":"1"}]',
    "by time": '{"2026-03-01T00:00:00Z":{"A":"5"},"2026-03-01T01:00:00Z":{"B":"1","A":"6"}}',
    "one step deeper": f'{{{TIMES},"groups":{{"A":["5","6"],"B":[null,"1"]}}}}',
    "a list with names": f'{{{TIMES},"values":[{{"name":"A","values":["5","6"]}},{{"name":"B","values":[null,"1"]}}]}}',
    "below data": f'{{"data":{{{TIMES},"A":["5","6"],"B":[null,"1"]}}}}',
}


@pytest.mark.parametrize("form", PLACED.values(), ids=PLACED)
def test_groups_are_found_where_they_usually_stand(form):
    question = Question(AggInterval.ONE_HOUR, {}, dimension="CA_OWNER")
    whole = body("").replace(b'"serie_0":{}', f'"serie_0":{form}'.encode())
    (points,) = parse_answer(whole, Batch((Slice(question, WINDOW),))).series
    assert columns(points) == {"A": {NOON: 5, NOON + 3600: 6}, "B": {NOON + 3600: 1}}


@pytest.mark.parametrize(
    "series",
    [
        f'{TIMES},"values":["5","6"]',
        f'{TIMES},"total":["5","6"],"groups":{{"A":["5","6"]}}',
        '"timestamps":["2026-03-01T00:00:00Z","2026-03-01T00:00:00Z"],"A":["5","6"]',
        f'{TIMES},"A":["5","6"],"other":"2"',
    ],
)
def test_values_whose_group_or_bucket_is_in_doubt_are_refused(series):
    with pytest.raises(Untrusted):
        parsed(series)


def test_a_group_that_is_called_other_is_told_from_what_is_left():
    points, deviations = parsed(f'{TIMES},"other":["5","6"],"other":["1","2"]')
    assert columns(points) == {"other": {NOON: 5, NOON + 3600: 6}}
    assert [left.other for left in points.remainders.values()] == [1, 2]
    assert "two groups are called other; the last one counts as what is left" in deviations


@pytest.mark.parametrize("name", ["Other", "OTHER"])
def test_what_is_left_may_be_spelt_otherwise(name):
    points, deviations = parsed(f'{TIMES},"A":["5","6"],"{name}":["1","2"]')
    assert [*points.groups] == ["A"]
    assert any("is not spelt `other`" in kind for kind in deviations)


def test_values_of_a_list_are_stored_as_the_list_spells_them():
    points, _ = parsed(f'{TIMES},"gt-200d":["5","6"],"New word":["1","2"]', "DURATION")
    assert [*points.groups] == ["GT_200D", "New word"]


@pytest.mark.parametrize(
    ("key", "stored"),
    [("", "(no name)"), ("<b>\\u001b[1m", "<b>\x1b[1m"), ("\\u0000", "\ufffd"), ("__proto__", "__proto__")],
)
def test_an_odd_name_is_only_a_text(key, stored):
    assert [*parsed(f'{TIMES},"{key}":["5","6"]')[0].groups] == [stored]


def test_a_very_long_name_is_cut_and_stays_its_own():
    names = [*parsed(f'{TIMES},"{"x" * 5000}":["5","6"],"{"x" * 4999}":["1","2"]')[0].groups]
    assert len({*names}) == 2
    assert max(map(len, names)) < 200


def test_as_many_groups_as_were_asked_for_may_not_be_all():
    full, some = (parsed(f'{TIMES},"A":["5","6"],"B":["1","1"]', most_groups=most)[0] for most in (2, 3))
    assert full.remainders[NOON].most == 2
    assert some.remainders == {}


def test_percentages_add_up_to_a_rounded_sum():
    points, _ = parsed(f'{TIMES},"A":["33.3333","50"],"B":["66.6666","49.9999"]', normalization="PERCENTAGE")
    assert list(points.values) == [100, 100]


@pytest.mark.parametrize(
    ("series", "normalization"),
    [
        (f'{TIMES},"A":["1"]', "RAW_VALUES"),
        (f'{TIMES},"A":["1","2"],"A":["1","2"]', "RAW_VALUES"),
        (f'{TIMES},"A":["x","y"]', "RAW_VALUES"),
        (f'{TIMES},"A":["1","2"]', "MIN_MAX"),
        ('"A":["1","2"]', "RAW_VALUES"),
    ],
)
def test_what_is_in_doubt_is_refused(series, normalization):
    with pytest.raises(Untrusted):
        parsed(series, normalization=normalization)


def test_the_number_of_groups_is_learned_and_tried_again_later():
    limit = GroupLimit()
    assert limit.number(0, START) == 1000
    for number, following in ((1000, 100), (100, 50)):
        limit = group_limits.rejected(limit, number, START)
        assert limit.number(0, START) == following
    limit = group_limits.accepted(limit, 50)
    assert [limit.number(wanted, START) for wanted in (0, 7, 80)] == [50, 7, 80]
    assert group_limits.load(group_limits.dump(limit)) == limit
    later = START + timedelta(days=2)
    assert limit.number(0, later) == 70
    raised = group_limits.accepted(limit, 70)
    assert raised.number(0, later) == 70  # 83 would be hardly more
    assert group_limits.rejected(raised, 83, later).number(0, later) == 70

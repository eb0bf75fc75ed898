"""The places of a document in which meta and series are found, and those that are not searched."""

import pytest

from collector.radar.response_deviations import Deviations
from collector.radar.response_layout import arrange

TIMES = ["2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z"]
ONE = {"timestamps": TIMES, "values": ["1", "2"]}
PAIRS = [*map(list, zip(TIMES, ["1", "2"], strict=True))]
META = {"aggInterval": "ONE_HOUR"}

PLACES = {
    "as documented": {"meta": META, "serie_0": ONE},
    "meta behind": {"serie_0": ONE, "meta": META},
    "records": {"meta": META, "serie_0": [{"timestamp": at, "value": value} for at, value in PAIRS]},
    "records with more in them": {"meta": META, "serie_0": [{"x": 1, "date": at, "count": one} for at, one in PAIRS]},
    "pairs": {"meta": META, "serie_0": PAIRS},
    "a mapping": {"meta": META, "serie_0": dict(PAIRS)},
    "capitals": {"Meta": META, "serie_0": {"TIMESTAMPS": TIMES, "VALUES": ["1", "2"]}},
    "other words": {"metadata": META, "serie_0": {"times": TIMES, "counts": ["1", "2"]}},
    "one other word": {"meta": META, "serie_0": {"dates": TIMES, "values": ["1", "2"]}},
    "below data of the series": {"meta": META, "serie_0": {"name": "x", "data": ONE}},
    "points of the series": {"meta": META, "serie_0": {"points": PAIRS}},
    "below series": {"meta": META, "series": {"serie_0": ONE}},
    "below data and result": {"data": {"meta": META, "result": {"serie_0": ONE}}},
    "a list with names": {"meta": META, "series": [{"name": "serie_0", **ONE}]},
    "a list of one": {"meta": META, "series": [ONE]},
    "right in the result": {"meta": META, **ONE},
    "timestamps once": {"meta": META, "timestamps": TIMES, "serie_0": ["1", "2"]},
    "meta inside": {"serie_0": {"meta": META, **ONE}},
    "a table beside": {"meta": META, "serie_0": ONE, "notes": PAIRS, "top": [["a", 1]], "count": [3], "dates": {}},
    "a table beside pairs": {"meta": META, "serie_0": PAIRS, "notes": PAIRS},
    "another time beside": {"meta": META, "serie_0": {"timestamps": TIMES, "values": ["1", "2"], "dates": [1]}},
    "another time beside, in capitals": {
        "META": META,
        "serie_0": {"TIMESTAMPS": TIMES, "VALUES": ["1", "2"], "DATES": [1], "COUNT": 2},
    },
}


@pytest.mark.parametrize("result", PLACES.values(), ids=PLACES)
def test_the_series_and_its_meta_are_found(result):
    meta, series = arrange(result, ["serie_0"], Deviations())
    assert meta == META
    assert [*series] == ["serie_0"]
    assert (series["serie_0"]["timestamps"], series["serie_0"]["values"]) == (TIMES, ["1", "2"])


def test_several_series_are_found_by_their_names():
    for result in (
        {"series": {"serie_1": PAIRS, "serie_0": dict(PAIRS)}},
        {"series": [{"name": "serie_1", **ONE}, {"name": "serie_0", **ONE}]},
        {"timestamps": TIMES, "serie_1": ["1", "2"], "serie_0": ["1", "2"], "other": ["x"]},
        {"data": {"timestamps": TIMES, "serie_1": ["1", "2"], "serie_0": ["1", "2"]}},
    ):
        _, series = arrange(result, ["serie_0", "serie_1"], Deviations())
        assert {*series} == {"serie_0", "serie_1"}


def test_an_additional_similar_series_counts_in_every_form():
    upper = {"TIMESTAMPS": TIMES, "VALUES": ["1", "2"]}
    for result in (
        {"serie_0": ONE, "serie_1": ONE, "serie_2": ONE},
        {"serie_0": upper, "serie_1": upper, "serie_2": upper},
        {"SERIE_0": PAIRS, "SERIE_1": PAIRS, "serie_2": PAIRS},
        {"timestamps": TIMES, "serie_0": ["1", "2"], "serie_1": ["1", "2"], "serie_2": ["1", "2"]},
    ):
        _, series = arrange(result, ["serie_0", "serie_1"], Deviations())
        assert len(series) == 3


NOWHERE = {
    "null": {"serie_0": None},
    "an empty object": {"serie_0": {}},
    "an empty list": {"serie_0": []},
    "text": {"serie_0": '{"timestamps": [], "values": []}'},
    "two times for the timestamps": {"serie_0": {"dates": TIMES, "times": TIMES, "value": ["1", "2"]}},
    "two words for the values": {"serie_0": {"dates": TIMES, "value": ["1", "2"], "count": ["3", "4"]}},
    "pairs that begin with no time": {"serie_0": [["a", "1"], ["b", "2"]]},
    "triples": {"serie_0": [[at, value, "3"] for at, value in PAIRS]},
    "records that differ": {"serie_0": [{"timestamp": TIMES[0], "value": "1"}, {"timestamp": TIMES[1]}]},
    "a mapping with another key": {"serie_0": {**dict(PAIRS), "total": "3"}},
    "a list of several without names": {"series": [ONE, ONE]},
    "a list with a name twice": {"series": [{"name": "serie_0", **ONE}] * 2},
    "another one where it is unreadable": {"serie_0": [{"x": 1}], "extra": ONE},
    "another one where it is null": {"serie_0": None, "extra": ONE},
    "another one deeper where it is unreadable": {"serie_0": "text", "data": {"extra": ONE}},
    "another table where it is unreadable": {"serie_0": [{"x": 1}], "extra": PAIRS},
    "two places": {"series": {"serie_0": ONE}, "data": {"serie_0": ONE}},
    "too deep": {"data": {"data": {"data": {"data": {"data": {"serie_0": ONE}}}}}},
}


@pytest.mark.parametrize("result", NOWHERE.values(), ids=NOWHERE)
def test_an_ambiguous_series_counts_as_absent(result):
    assert arrange({"meta": META, **result}, ["serie_0"], Deviations()) == (META, {})


def test_half_of_a_series_counts_so_that_the_answer_is_refused():
    half = {"values": ["1", "2"]}
    assert arrange({"serie_0": half}, ["serie_0"], Deviations()) == (None, {"serie_0": half})


def test_meta_inside_of_series_counts_if_all_have_the_same():
    result = {"serie_0": {"meta": META, **ONE}, "serie_1": {"meta": {"aggInterval": "ONE_DAY"}, **ONE}}
    assert arrange(result, ["serie_0", "serie_1"], Deviations())[0] is None


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("series are arranged otherwise than in arrays of timestamps and values", "pairs"),
        ("series stand deeper in the document than usual", "below series"),
        ("meta stands inside of the series", "meta inside"),
        ("meta is called otherwise", "capitals"),
    ],
)
def test_another_place_is_noted(kind, place):
    deviations = Deviations()
    arrange(PLACES[place], ["serie_0"], deviations)
    assert kind in deviations.kinds


def test_the_documented_place_is_not():
    deviations = Deviations()
    arrange(PLACES["as documented"], ["serie_0"], deviations)
    assert deviations.kinds == {}

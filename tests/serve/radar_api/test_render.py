from __future__ import annotations

import csv
import io
import json
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contract.request_parser import parse_request
from collector.datasets import DEFAULT
from collector.serve.radar_api.parameters import HistoryRules
from collector.serve.radar_api.render import AnswerMeta, numbers, quoted_numbers, units, write_csv, write_json
from collector.serve.radar_api.resolver import SeriesData
from collector.timestamps import utc

START = int(utc("2026-04-30T00:00:00Z").timestamp())
NOW = utc("2026-05-01T00:00:00Z")
SAID = AnswerMeta(NOW, "RAW_VALUES", "*", None, [])


def _written(values, form="JSON", names=("a",)):
    pairs = [("aggInterval", "15m"), ("format", form), *(("name", name) for name in names)]
    count = values.count(",") + bool(values) if isinstance(values, str) else len(values)
    values = values if isinstance(values, str) else array("d", values)
    line = SeriesData(array("q", range(START, START + 900 * count, 900)), values)
    request = parse_request(DEFAULT, pairs, HistoryRules(), NOW.timestamp())
    series = [line] * len(names)
    return list(write_csv(request, series) if form == "CSV" else write_json(request, series, SAID))


@pytest.mark.parametrize(
    ("expected", "value"),
    [("1", 1.0), ("0", -0.0), ("0.5", 0.5), ("-3", -3.0), ("0.000014", 1.4e-05), ("100000000000000000000", 1e20)],
)
def test_a_value_is_written_without_an_exponent(expected, value):
    assert numbers([value]) == [expected]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_value_reads_back_as_it_was(value):
    [text] = numbers([value])
    assert float(text) == value
    assert not set(text) & set("eE+")


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**17), 10**17).map(float), min_size=1)
)
def test_values_in_quotes_are_the_same_texts(values):
    assert json.loads(f"[{quoted_numbers(values)}]") == numbers(values)


@pytest.mark.parametrize("form", ["JSON", "CSV"])
@pytest.mark.parametrize("count", [0, 1, 2, 30_000])
def test_values_that_came_as_texts_are_written_as_numbers_are(count, form):
    numbers_ = [float(number * 7) for number in range(count)]
    texts = ",".join(str(number * 7) for number in range(count))
    parts = [_written(values, form) for values in (numbers_, texts)]
    assert "".join(parts[0]) == "".join(parts[1])
    assert max(map(len, parts[1])) < 120_000


@pytest.mark.parametrize(
    ("expected", "unit"),
    [
        ([("*", "certificates")], "certificates"),
        ([("*", "")], ""),
        ([("*", "a, b")], "a, b"),
        ([("all", "x"), ("rest", "y=z")], "all=x, rest=y=z"),
    ],
)
def test_units_are_taken_apart_as_they_were_put_together(expected, unit):
    assert [(found["name"], found["value"]) for found in units(unit)] == expected


@pytest.mark.parametrize("count", [0, 1, 4_095, 4_096, 4_097, 20_000])
def test_a_large_answer_is_written_in_chunks(count):
    found = _written([float(n) for n in range(count)])
    series = json.loads("".join(found))["result"]["a"]
    assert [int(value) for value in series["values"]] == list(range(count))
    assert len(series["timestamps"]) == count
    assert max(map(len, found)) < 120_000


@given(st.text(min_size=1).filter(lambda name: name != "meta"))
def test_any_name_is_one_key_and_one_pair_of_columns(name):
    found = json.loads("".join(_written([1.0], names=[name])))
    assert found["result"][name]["values"] == ["1"]
    [header, row] = csv.reader(io.StringIO("".join(_written([1.0], "CSV", [name])), newline=""))
    assert len(header) == len(row) == 2


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a", "\ta", "\ra"])
def test_a_name_is_no_formula(name):
    [cell, _] = next(csv.reader(io.StringIO("".join(_written([], "CSV", [name])), newline="")))
    assert cell.startswith("'")


def test_a_level_that_came_as_null_is_null():
    assert json.loads("".join(_written([])))["result"]["meta"]["confidenceInfo"]["level"] is None

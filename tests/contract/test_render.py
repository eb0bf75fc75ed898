"""Parts of an answer as the API writes them."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contract.response import (
    annotation_json,
    csv_chunks,
    format_timestamps,
    json_strings,
    quoted,
    quoted_timestamps,
)
from collector.model import Annotation
from collector.timestamps import utc

START = int(utc("2026-04-30T23:30:00Z").timestamp())
TEXTS = ["2026-04-30T23:30:00Z", "2026-04-30T23:45:00Z", "2026-05-01T00:00:00Z"]


@pytest.mark.parametrize("kind", [list, iter, lambda moments: moments])
def test_moments_are_written_as_rfc3339(kind):
    assert list(format_timestamps(kind(range(START, START + 2700, 900)))) == TEXTS
    assert list(format_timestamps(kind(range(START, START + 900, 900)), "")) == [TEXTS[0][:-1]]


@given(
    st.integers(0, 2**31),
    st.sampled_from([300, 900, 1_800, 3_600, 86_400, 604_800]),
    st.lists(st.booleans(), max_size=300),
)
def test_timestamps_in_quotes_are_the_same_texts(start, step, present):
    moments = [start + number * step for number, is_present in enumerate(present) if is_present]
    whole = range(start, start + len(present) * step, step)
    for timestamps in (moments, whole):
        assert quoted_timestamps(timestamps) == quoted(format_timestamps([*timestamps]))


def test_texts_are_written_as_an_array():
    assert json_strings(["a", "b"]) == '["a","b"]'
    assert json_strings([]) == "[]"


def written(*series):
    return "".join(csv_chunks(series))


def test_each_series_has_two_columns_and_a_shorter_one_has_empty_cells():
    found = written(("one", ["t1", "t2"], ["1", "2"]), ("Two", ["t1"], ["3"]))
    assert found == "One timestamps,One values,Two timestamps,Two values\nt1,1,t1,3\nt2,2,,\n"


def test_a_carriage_return_in_any_name_is_quoted():
    found = written(("a", ["t"], ["1"]), ("b\rc", ["t"], ["1"]))
    assert found.startswith('"A timestamps","A values","B\rc timestamps","B\rc values"\n')
    assert len(next(csv.reader(io.StringIO(found, newline="")))) == 4


@pytest.mark.parametrize(("pieces", "count"), [(1, 0), (2, 1000), (3, 1001)])
def test_a_thousand_rows_are_written_at_once(pieces, count):
    found = list(csv_chunks([("a", map(str, range(count)), ["1"] * count)]))
    assert len(found) == pieces
    assert "".join(found).splitlines()[1:] == [f"{number},1" for number in range(count)]


def test_an_annotation_is_written_with_the_api_s_keys():
    moment = utc("2026-04-30T00:00:00Z")
    words = {"data_source": "CT", "event_type": "OUTAGE", "description": "d", "linked_url": "u"}
    open_ended = Annotation(start_date=moment, end_date=None, is_instantaneous=True, tags=("a",), **words)
    expected = {
        "dataSource": "CT",
        "description": "d",
        "startDate": "2026-04-30T00:00:00Z",
        "endDate": None,
        "eventType": "OUTAGE",
        "linkedUrl": "u",
        "isInstantaneous": True,
    }
    assert annotation_json(open_ended) == expected | {"tags": ["a"]}
    ended = Annotation(start_date=moment, end_date=moment, is_instantaneous=False, tags=(), **words)
    assert annotation_json(ended) == expected | {"endDate": "2026-04-30T00:00:00Z", "isInstantaneous": False}

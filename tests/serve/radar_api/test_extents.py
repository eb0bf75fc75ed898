from __future__ import annotations

import pytest

from collector.contract.request_parser import DateRange, SeriesRequest
from collector.interval import AggInterval
from collector.model import Question
from collector.serve.radar_api.resolver import ALWAYS, Extents, RollupSpec, SeriesMatch
from collector.store import StoredSeries
from collector.timestamps import from_epoch
from collector.windows import SeriesWindow

MONDAY, H = 4 * 86_400, 3600


def _source(*numbers, interval="1h"):
    query = Question(AggInterval(interval), {})
    parts = tuple(StoredSeries(number, query, "RAW_VALUES", "*", ()) for number in numbers)
    return SeriesMatch(parts, is_summed=len(parts) > 1)


def _asked(start, end, interval="1h"):
    return SeriesRequest(
        "a", Question(AggInterval(interval), {}), MONDAY + start * H, MONDAY + end * H, DateRange(0, 0)
    )


def _known(told=999, **spans):
    moments = {int(name[1:]): (MONDAY + a * H, MONDAY + b * H) for name, (a, b) in spans.items()}
    return Extents(moments, {number: from_epoch(MONDAY + (told - number) * H + 0.5) for number in range(9)})


@pytest.mark.parametrize(
    ("expected", "span"),
    [
        ((2, 8), (-5, 90)),
        ((2, 8), (2, 7)),
        ((3, 7), (3, 6)),
        ((2, 3), (0, 2)),
        ((2, 2), (0, 0)),
        ((9, 9), (9, 12)),
        ((8, 8), None),
    ],
)
def test_there_can_be_points_where_a_series_reaches(expected, span):
    known = _known(**({"_1": span} if span else {}))
    assert known.windows(_asked(2, 8), _source(1)) == [SeriesWindow(1, *(MONDAY + hour * H for hour in expected))]
    assert known.buckets(_asked(2, 8), _source(1)) == expected[1] - expected[0]


@pytest.mark.parametrize(
    ("expected", "spans", "told"),
    [
        (2, {"_1": (0, 90), "_2": (0, 90)}, 99),
        (1, {"_1": (1, 90), "_2": (0, 90)}, 99),
        (1, {"_1": (0, 90), "_2": (0, 46)}, 99),
        (2, {"_1": (0, 90), "_2": (0, 90)}, 50),
        (1, {"_1": (0, 90), "_2": (0, 90)}, 49),
        (0, {"_1": (0, 90)}, 99),
    ],
)
def test_a_sum_fills_the_buckets_that_every_part_can_fill(expected, spans, told):
    assert _known(told, **spans).buckets(_asked(0, 48, "1d"), _source(1, 2)) == expected


def test_the_extents_of_a_match_with_several_parts():
    known = _known(50, _1=(0, 3), _3=(1, 9))
    source = _source(1, 2, 3)
    assert known.spans_of(source) == [(MONDAY, MONDAY + 3 * H), (MONDAY + H, MONDAY + 9 * H)]
    assert known.known_until(source) == MONDAY + 47 * H
    expected = RollupSpec(MONDAY, MONDAY + 48 * H, AggInterval.ONE_HOUR, AggInterval.ONE_DAY, 3)
    assert known.rollup_spec(_asked(0, 48, "1d"), source) == expected


def test_the_span_of_a_series_without_ends_holds_every_year():
    assert (from_epoch(ALWAYS[0]).year, ALWAYS[1] > 253_402_300_800) == (1970, True)

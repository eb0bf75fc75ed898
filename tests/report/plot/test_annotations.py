from itertools import pairwise

import pytest

from collector.report.plot.image import arrange
from tests.harness.chart_factories import annotation, chart

WINDOW = chart(hours=100).window
WIDTH = 800.0


def _rooms(strip, lane):
    return sorted(bar.room for bar in strip.bars if bar.lane == lane)


def test_without_annotations_there_is_no_lane():
    assert arrange([], WINDOW, WIDTH).lanes == 0


def test_a_few_are_labelled_with_all_their_words():
    strip = arrange([annotation(10, 12), annotation(50, None, "PIPELINE", "Delayed")], WINDOW, WIDTH)
    assert [bar.text for bar in strip.bars] == ["Outage: A large log refused submissions", "Pipeline: Delayed"]


@pytest.mark.parametrize(
    ("expected", "start", "end"), [("in", 0, 90), ("after", 10, 11), ("before", 97, 99), ("after", -5, 3)]
)
def test_the_text_is_beside_the_bar_if_there_is_no_room_in_it(expected, start, end):
    (bar,) = arrange([annotation(start, end)], WINDOW, WIDTH).bars
    assert bar.side == expected
    assert 0 <= bar.room[0] <= bar.room[1] <= WIDTH


def test_a_bar_is_cut_at_the_edges_of_the_chart():
    (bar,) = arrange([annotation(-50, None)], WINDOW, WIDTH).bars
    assert (bar.start, bar.end) == (WINDOW.start, WINDOW.end)


@pytest.mark.parametrize("count", [3, 12, 30])
def test_no_label_covers_another(count):
    strip = arrange([annotation(n * 100 / count, n * 100 / count) for n in range(count)], WINDOW, WIDTH)
    for lane in range(strip.lanes):
        rooms = _rooms(strip, lane)
        assert all(a[1] <= b[0] for a, b in pairwise(rooms))


def test_many_are_labelled_with_their_type_alone():
    strip = arrange([annotation(4 * n, 4 * n) for n in range(25)], WINDOW, WIDTH)
    assert {bar.text for bar in strip.bars} == {"Outage"}


def test_too_many_have_a_named_lane_for_each_type():
    types = ["OUTAGE", "TRAFFIC_ANOMALY"]
    strip = arrange([annotation(n / 2, n / 2, types[n % 2]) for n in range(200)], WINDOW, WIDTH)
    assert (strip.names, strip.lanes) == (("Outage", "Traffic anomaly"), 2)
    assert {(bar.annotation.event_type, bar.lane) for bar in strip.bars} == {("OUTAGE", 0), ("TRAFFIC_ANOMALY", 1)}


def test_too_many_types_share_the_last_lane():
    strip = arrange([annotation(n / 2, n / 2, f"TYPE_{n % 20:02}") for n in range(200)], WINDOW, WIDTH)
    assert (strip.lanes, strip.names[-1]) == (6, "Other")
    assert max(bar.lane for bar in strip.bars) == 5

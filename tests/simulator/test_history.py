from __future__ import annotations

from datetime import timedelta

import pytest

from collector.interval import AggInterval
from collector.model import Annotation, Question, Window
from collector.simulator import (
    GapChange,
    NormalizationChange,
    RevisionChange,
    Simulator,
    SimulatorOptions,
    WithdrawalChange,
)
from collector.timestamps import from_epoch, rfc3339, utc
from tests.harness.factories import query

NOW = utc("2026-08-14T10:07:00Z").timestamp()
DAY = 86_400
WEEK = Window(utc("2026-08-03T00:00:00Z"), utc("2026-08-10T00:00:00Z"))


def _points(simulator, interval="15m", window=WEEK, now=NOW, **filters):
    points = simulator.truth(query(interval, **filters), window, now)
    return dict(zip(points.timestamps, points.values, strict=True))


def _newest(interval, now=NOW, **options):
    window = Window(utc("2026-08-03T00:00:00Z"), utc("2026-08-17T00:00:00Z"))
    points = Simulator(SimulatorOptions(**options)).truth(query(interval), window, now)
    return rfc3339(from_epoch(points.timestamps[-1]))[5:16]


@pytest.mark.parametrize("filters", [{}, {"tld": "com"}, {"caOwner": "Nobody"}])
@pytest.mark.parametrize("interval", ["1h", "1d", "1w"])
def test_a_coarser_bucket_is_the_exact_sum_of_the_finer_ones(interval, filters):
    simulator = Simulator()
    simulator.change(RevisionChange(Window(utc("2026-08-04T00:15:00Z"), utc("2026-08-05T07:30:00Z")), add=7))
    fine, coarse = _points(simulator, **filters), _points(simulator, interval, **filters)
    step = AggInterval(interval).seconds
    assert coarse == {at: sum(fine[at + offset] for offset in range(0, step, 900)) for at in coarse}
    assert len(coarse) * step == 7 * DAY


@pytest.mark.parametrize(
    ("expected", "lag"),
    [("09:15", timedelta(minutes=45)), ("10:00", timedelta(0)), ("10:00", timedelta(minutes=7)), ("09:45", "8m")],
)
def test_last_updated_lags_on_a_grid_of_fifteen_minutes(expected, lag):
    lag = timedelta(minutes=8) if lag == "8m" else lag
    assert rfc3339(from_epoch(Simulator(SimulatorOptions(lag=lag)).last_updated(NOW)))[11:16] == expected


@pytest.mark.parametrize(
    ("expected", "interval", "switches"),
    [
        ("08-14T09:00", "15m", {}),
        ("08-14T08:00", "1h", {}),
        ("08-13T00:00", "1d", {}),
        ("08-03T00:00", "1w", {}),
        ("08-14T09:15", "15m", {"unfinished": "partial"}),
        ("08-14T09:00", "1h", {"unfinished": "partial"}),
        ("08-13T00:00", "1d", {"unfinished": "partial"}),
        ("08-14T00:00", "1d", {"unfinished_coarse": "partial"}),
        ("08-10T00:00", "1w", {"unfinished_coarse": "partial"}),
        ("08-14T09:45", "15m", {"lag": timedelta(0)}),
        ("08-14T09:00", "1h", {"lag": timedelta(0)}),
    ],
)
def test_the_newest_bucket_is_left_out_until_it_closed_or_partial(expected, interval, switches):
    assert _newest(interval, **switches) == expected


def test_a_partial_bucket_grows_until_it_closes():
    simulator = Simulator(SimulatorOptions(unfinished_coarse="partial", revised_for=timedelta(0)))
    window = Window(utc("2026-08-14T00:00:00Z"), utc("2026-08-15T00:00:00Z"))
    seen = [sum(_points(simulator, "1d", window, NOW + hours * 3600).values()) for hours in range(20)]
    assert 0 < seen[0] < seen[5] < seen[10] < seen[15]
    assert seen[15] == seen[19]


def test_a_window_in_the_future_is_empty():
    window = Window(utc("2027-01-01T00:00:00Z"), utc("2027-01-02T00:00:00Z"))
    assert _points(Simulator(), window=window) == {}


def test_before_the_first_data_there_are_no_buckets():
    simulator = Simulator(SimulatorOptions(data_since=utc("2026-08-05T12:00:00Z")))
    everything = _points(Simulator())
    since = utc("2026-08-05T12:00:00Z").timestamp()
    assert _points(simulator) == {at: value for at, value in everything.items() if at >= since}
    first, *rest = _points(simulator, "1d").values()
    assert first == sum(value for at, value in everything.items() if since <= at < since + DAY / 2)
    assert rest == list(_points(Simulator(), "1d").values())[3:]


def test_a_hole_takes_the_buckets_that_lie_in_it_from_its_moment_to_its_end():
    simulator = Simulator()
    before = _points(simulator)
    hole = Window(utc("2026-08-05T12:00:00Z"), utc("2026-08-06T00:00:00Z"))
    simulator.change(GapChange(hole, since=NOW + 60, until=NOW + 120))
    assert _points(simulator) == before
    kept = {at: value for at, value in before.items() if not hole.start <= from_epoch(at) < hole.end}
    assert _points(simulator, now=NOW + 60) == kept
    assert len(_points(simulator, "1d", now=NOW + 60)) == 7
    assert sum(_points(simulator, "1d", now=NOW + 60).values()) == sum(kept.values())
    assert _points(simulator, now=NOW + 120) == before


def test_a_revision_shows_from_its_moment_on():
    simulator = Simulator()
    before = _points(simulator, "1h", tld="com")
    window = Window(utc("2026-08-05T12:00:00Z"), utc("2026-08-05T12:30:00Z"))
    simulator.change(RevisionChange(window, add=-3, since=NOW + 60))
    at = int(window.start.timestamp())
    assert _points(simulator, "1h", tld="com") == before
    assert _points(simulator, "1h", tld="com", now=NOW + 60) == before | {at: before[at] - 6}


def test_an_unknown_name_may_count_nothing():
    simulator = Simulator(SimulatorOptions(unknown_names="zero"))
    assert set(_points(simulator, ca="Nobody").values()) == {0}
    assert 0 not in _points(simulator, ca="R12").values()
    query = Question(AggInterval.ONE_DAY, {"ca": ("R12", "Nobody")})
    assert list(simulator.truth(query, WEEK, NOW).values) == list(_points(simulator, "1d", ca="R12").values())


def test_a_percentage_is_a_share_of_everything():
    simulator = Simulator(SimulatorOptions(normalization="PERCENTAGE"))
    values = _points(simulator, "1d", tld="com").values()
    assert all(40 < value < 50 for value in values)
    assert set(_points(simulator, "1d").values()) == {100}


@pytest.mark.parametrize(("lowest", "word"), [(0, "MIN_MAX"), (0.3, "MIN0_MAX")])
def test_a_scaled_answer_reaches_from_its_least_to_its_greatest(lowest, word):
    values = _points(Simulator(SimulatorOptions(normalization=word))).values()
    assert max(values) == 1
    assert lowest <= min(values) < lowest + 0.4


def test_normalization_can_change_at_a_moment():
    simulator = Simulator()
    simulator.change(NormalizationChange("PERCENTAGE", since=NOW + 60))
    assert min(_points(simulator).values()) > 1000
    assert set(_points(simulator, now=NOW + 60).values()) == {100}


def test_annotations_are_those_that_lie_in_the_window():
    simulator = Simulator(SimulatorOptions(ongoing_since=None))
    year = Window(utc("2025-08-01T00:00:00Z"), utc("2026-08-01T00:00:00Z"))
    found = simulator.annotations(year, NOW)
    assert {a.is_instantaneous for a in found} == {True, False}
    assert len({a.event_type for a in found}) == 4
    for annotation in found:
        if annotation.is_instantaneous:
            continue
        end = annotation.end_date
        inside = Window(annotation.start_date, annotation.start_date + timedelta(minutes=15))
        assert annotation in simulator.annotations(inside, NOW)
        behind = Window(end, end + timedelta(minutes=15))
        assert annotation not in simulator.annotations(behind, NOW)


def test_an_annotation_is_published_when_it_is_over():
    simulator = Simulator(SimulatorOptions(ongoing_since=None))
    window = Window(utc("2026-01-01T00:00:00Z"), utc("2026-08-01T00:00:00Z"))
    for annotation in simulator.annotations(window, NOW):
        ends = (annotation.end_date or annotation.start_date).timestamp()
        assert annotation in simulator.annotations(window, ends)
        assert annotation not in simulator.annotations(window, ends - 1)


def test_an_ongoing_annotation_has_no_end():
    simulator = Simulator()
    (ongoing,) = (a for a in simulator.annotations(WEEK, NOW) if a.end_date is None)
    assert ongoing.start_date < WEEK.start
    before = Window(utc("2025-02-01T00:00:00Z"), utc("2025-03-01T00:00:00Z"))
    assert ongoing not in simulator.annotations(before, NOW)


def test_an_annotation_can_be_withdrawn_and_return():
    simulator = Simulator()
    ongoing = simulator.annotations(WEEK, NOW)[0]
    simulator.change(WithdrawalChange(ongoing, since=NOW + 60, until=NOW + 120))
    seen = [ongoing in simulator.annotations(WEEK, NOW + later) for later in (0, 60, 120)]
    assert seen == [True, False, True]


def test_annotations_can_be_given():
    own = Annotation(WEEK.start, None, "ALL", "EVENT", "Own", "https://example.com/", is_instantaneous=False)
    assert Simulator(SimulatorOptions(annotations=(own,))).annotations(WEEK, NOW) == [own]

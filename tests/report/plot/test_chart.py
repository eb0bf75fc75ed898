from datetime import timedelta

import pytest

from collector.errors import CollectorError
from collector.model import Annotation, Normalization, Window
from collector.report.plot.chart import ChartAnnotation, read_chart, unbroken_runs
from tests.harness.chart_factories import chart, line
from tests.harness.factories import DAY, HOUR, NOW, STEP, batch, hours, profile, query, saved

SETTLE = timedelta(days=14)


@pytest.mark.parametrize(
    ("expected", "timestamps"),
    [
        ([], []),
        ([[1]], [1]),
        ([[1, 2, 3]], [1, 2, 3]),
        ([[1, 2], [4], [6, 7]], [1, 2, 4, 6, 7]),
    ],
)
def test_a_line_is_cut_where_a_bucket_is_missing(expected, timestamps):
    assert [timestamps[run] for run in unbroken_runs(timestamps, 1)] == expected


@pytest.mark.parametrize(
    ("expected", "final_until"),
    [
        (None, None),
        (None, DAY + 24 * HOUR),
        (23, DAY + 23 * HOUR),
        (22, DAY + 22.5 * HOUR),
        (0, DAY - 24 * HOUR),
    ],
)
def test_a_bucket_is_not_final_until_all_of_it_is(expected, final_until):
    young = chart(line("a", 1), final_until=final_until).not_final_from
    assert (young if young is None else (young - int(DAY.timestamp())) / STEP) == expected


@pytest.mark.parametrize(
    ("expected", "values"), [(True, (1, 2)), (False, (9, 10)), (False, (-1, 2)), (False, (0, 0)), (True, (0, 1))]
)
def test_an_axis_begins_at_zero_unless_changes_would_be_too_small(expected, values):
    assert chart(line("a", *values)).from_zero is expected


async def _filled(store, points=300, **meta):
    await store.activate_labels([profile("owners", caOwner=("A", "B, Inc."))], DAY)
    asked = batch(*((query(caOwner=owner), hours(0, points)) for owner in ("A", "B, Inc.")))
    await saved(store, asked, *[[float(n) for n in range(points)]] * 2, profiles=("owners",), **meta)


async def test_the_newest_week_is_read_of_hourly_points(store):
    await _filled(store, unit="certificates")
    found = await read_chart(store, "owners", None, None, SETTLE)
    assert found.window == Window(DAY + (300 - 7 * 24) * HOUR, DAY + 300 * HOUR)
    assert [each.name for each in found.lines] == ["A", "B, Inc."]
    assert list(found.lines[0].values) == [float(n) for n in range(300 - 7 * 24, 300)]
    assert (found.measure, found.final_until) == ("certificates, hourly", NOW - SETTLE)


async def test_the_requested_range_is_read(store):
    await _filled(store)
    found = await read_chart(store, "owners", DAY, DAY + 2 * HOUR, SETTLE)
    assert (found.window, list(found.lines[1].values)) == (Window(DAY, DAY + 2 * HOUR), [0, 1])


async def test_annotations_of_the_window_are_read(store):
    def annotation(start, end, text):
        ends = DAY + end * HOUR if end is not None else None
        return Annotation(DAY + start * HOUR, ends, "CT", "OUTAGE", text, "", is_instantaneous=start == end)

    await _filled(
        store, annotations=[annotation(1, 2, "early"), annotation(290, 290, "now"), annotation(295, None, "on")]
    )
    found = await read_chart(store, "owners", None, None, SETTLE)
    moment = DAY + 290 * HOUR
    assert found.annotations == (
        ChartAnnotation(moment, moment, "OUTAGE", "now"),
        ChartAnnotation(DAY + 295 * HOUR, None, "OUTAGE", "on"),
    )


async def test_the_unit_of_relative_values_names_the_normalization(store):
    await store.activate_labels([profile("all")], DAY)
    await saved(store, batch((query(), hours(0, 3))), [0, 0.5, 1], unit="*", normalization="MIN0_MAX")
    assert (await read_chart(store, "all", None, None, SETTLE)).measure == "* (MIN0_MAX), hourly"
    assert "MIN0_MAX" not in tuple(Normalization)


async def test_a_label_whose_unit_changes_has_a_line_for_each(store):
    await store.activate_labels([profile("all")], DAY)
    await saved(store, batch((query(), hours(0, 4))), [0, 1, 2, 3], unit="certificates")
    for moment in (NOW + HOUR, NOW + 2 * HOUR):
        await saved(store, batch((query(), hours(3, 5))), [30, 40], now=moment, updated=moment, unit="requests")
    found = await read_chart(store, "all", None, None, SETTLE)
    assert [(each.name, list(each.values)) for each in found.lines] == [
        ("all (certificates)", [0, 1, 2]),
        ("all (requests)", [30, 40]),
    ]
    assert (found.measure, found.window) == ("certificates / requests, hourly", hours(0, 5))
    (alone,) = (await read_chart(store, "all", DAY + 3 * HOUR, None, SETTLE)).lines
    assert alone.name == "all"


async def test_a_profile_without_points_is_an_error(store):
    await store.activate_labels([profile("owners")], DAY)
    with pytest.raises(CollectorError, match="there are no points of profile 'owners' yet"):
        await read_chart(store, "owners", None, None, SETTLE)


async def test_a_window_without_points_names_what_is_stored(store):
    await _filled(store, points=3)
    stored = "stored are 2026-04-30T00:00:00Z..2026-04-30T03:00:00Z"
    with pytest.raises(CollectorError, match=f"no point of profile 'owners' from .* on; {stored}"):
        await read_chart(store, "owners", DAY + 9 * HOUR, DAY + 10 * HOUR, SETTLE)

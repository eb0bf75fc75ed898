import io
import math

import matplotlib as mpl
import matplotlib.dates
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from collector.errors import UsageError
from collector.report.plot import image
from collector.report.plot.image import render
from tests.harness.chart_factories import HOUR, START, annotation, chart, line

TWENTY = [line(f"Owner number {n} of a long name, Incorporated", *(n + hour for hour in range(24))) for n in range(20)]
FULL = chart(*TWENTY, annotations=[annotation(2, 5), annotation(9, 9), annotation(-9, None)], final_until=START)


@pytest.fixture
def drawn():
    """Draw a chart and give the figure, laid out, with its main axes and those of the annotations above."""

    def drawn(shown, *, log=False):
        with image._styled():
            figure = Figure(figsize=image._INCHES, dpi=50, layout="constrained")
            image._draw(figure, shown, log=log)
            figure.draw_without_rendering()
        return figure, *figure.axes

    return drawn


def _lines(axes):
    return [each for each in axes.get_lines() if each.get_linestyle() != "None" and len(each.get_xdata()) > 2]


def test_a_png_is_a_picture_that_names_the_licence():
    data = render(FULL, "png")
    assert imread(io.BytesIO(data), format="png").shape[:2] == (930, 1800)
    assert b"CC BY-NC 4.0" in data


def test_an_svg_is_a_picture_too():
    assert render(FULL, "svg").startswith(b"<?xml")


def test_matplotlib_keeps_no_figure_and_no_setting():
    before = dict(mpl.rcParams)
    render(FULL, "png")
    assert dict(mpl.rcParams) == before


def test_without_the_extra_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("collector.report.plot.image.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"-m pip install 'matplotlib>="):
        render(FULL, "png")


def test_twenty_series_have_different_lines(drawn):
    _, axes, _ = drawn(FULL)
    assert len({(each.get_color(), each._unscaled_dash_pattern) for each in _lines(axes)}) == 20


def test_the_legend_covers_no_data(drawn):
    figure, axes, _ = drawn(FULL)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 20
    assert legend.get_window_extent().x0 >= axes.get_window_extent().x1
    assert legend.get_window_extent().x1 <= figure.bbox.x1
    assert axes.get_window_extent().width > figure.bbox.width / 2


def test_one_series_needs_no_legend(drawn):
    assert drawn(chart(line("owners", 1, 2, 3)))[0].legends == []


def test_a_line_is_broken_at_a_gap_and_a_lone_point_is_a_dot(drawn):
    _, axes, _ = drawn(chart(line("owners", *range(9), absent=(3, 5))))
    values = list(_lines(axes)[0].get_ydata())
    assert [v if not math.isnan(v) else None for v in values] == [0, 1, 2, None, 4, None, 6, 7, 8, None]
    assert [list(each.get_ydata()) for each in axes.get_lines() if each.get_marker() == "o"] == [[4]]


def test_points_that_are_not_final_are_hollow_and_the_axis_below_them_is_hatched(drawn):
    _, axes, _ = drawn(chart(line("owners", *range(24)), final_until=START + 20 * HOUR))
    hollow = [each for each in axes.get_lines() if each.get_markerfacecolor() == "white"]
    assert [list(each.get_ydata()) for each in hollow] == [[20, 21, 22, 23]]
    assert [patch.get_x() for patch in axes.patches if patch.get_hatch()] == [_days(20)]
    assert any("not final yet" in text.get_text() for text in axes.texts)


def test_annotations_are_bands_and_moments_are_lines(drawn):
    _, axes, above = drawn(
        chart(line("owners", *range(24)), annotations=[annotation(2, 5), annotation(9, 9, "GENERAL", "$new$")])
    )
    (band,) = axes.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((_days(2), _days(5)))
    assert [_days(9)] * 2 in [[mpl.dates.date2num(x) for x in each.get_xdata()] for each in axes.get_lines()]
    texts = [text.get_text() for text in above.texts]
    assert "Outage: A large log refused submissions" in texts
    assert "General: $new$" in texts


def test_an_annotation_over_the_whole_chart_has_no_band(drawn):
    _, axes, above = drawn(chart(line("owners", *range(24)), annotations=[annotation(-9, None)]))
    assert (len(axes.patches), len(above.patches)) == (0, 1)


def test_title_range_and_licence_are_written_inside_the_picture(drawn):
    figure, _, above = drawn(FULL)
    assert above.get_title(loc="left") == "owners: certificates, hourly"
    assert "2026-04-30 00:00 to 2026-05-01 00:00 UTC" in [text.get_text() for text in above.texts]
    assert "CC BY-NC 4.0" in figure.get_supxlabel()
    for text in (above._left_title, figure._supxlabel):
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


@pytest.mark.parametrize("name", ["$x^", "_hidden", "日本", "a\\b", "x" * 300])
def test_any_label_can_be_drawn(drawn, name):
    shown = chart(line(name, 1, 2), line("other", 3, 4), annotations=[annotation(1, 2, "", name)])
    assert render(shown, "png")
    figure, *_ = drawn(shown)
    assert len(figure.legends[0].get_texts()) == 2


@pytest.mark.parametrize("values", [(0, 0, 0), (5,), (-3, 4), (1e-9, 2e-9), (1e15, 3e15)])
@pytest.mark.parametrize("log", [False, True])
def test_any_values_can_be_drawn(values, log):
    assert render(chart(line("owners", *values), unit=""), "png", log=log)


@pytest.mark.parametrize(("expected", "values"), [(0, (100, 200)), (pytest.approx(99, abs=1), (100, 101))])
def test_the_axis_begins_at_zero_unless_changes_would_be_too_small(drawn, expected, values):
    assert drawn(chart(line("owners", *values)))[1].get_ylim()[0] == expected


def _days(hours):
    return mpl.dates.date2num(START + hours * HOUR)

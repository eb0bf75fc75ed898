import re

import pytest

from collector.report.plot.terminal import TerminalStyle, downsample, render
from tests.harness.chart_factories import HOUR, START, annotation, chart, line

LOOK = TerminalStyle(80, 40, colour=False)


def _axes(text):
    """What stands right of the number axis, row by row from the top."""
    return [
        row.partition("│")[2] or row.partition("┤")[2]
        for row in text.splitlines()
        if re.match(r" *\d*\.?\d*k?[│┤]", row)
    ]


def _columns_with_ink(text):
    rows = _axes(text)
    return {n for row in rows for n, character in enumerate(row) if character not in " \u2800"}


def test_a_chart_names_profile_range_and_licence():
    rows = render(chart(line("owners", *range(24))), LOOK).splitlines()
    assert rows[:2] == ["owners: certificates, hourly", "2026-04-30 00:00 to 2026-05-01 00:00 UTC"]
    assert rows[-1] == "Data: Cloudflare Radar (https://radar.cloudflare.com), licensed CC BY-NC 4.0."


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_is_as_wide_as_the_terminal(width):
    drawn = chart(
        line("owners", *range(24)), annotations=[annotation(1, 2, description="long " * 60)], final_until=START
    )
    rows = render(drawn, LOOK._replace(width=width)).splitlines()
    assert max(map(len, rows[:-1])) == width


def test_it_fits_the_screen():
    drawn = chart(line("owners", *range(24)), annotations=[annotation(n, n) for n in range(20)], final_until=START)
    assert len(render(drawn, LOOK).splitlines()) <= LOOK.height


def test_no_line_crosses_a_gap():
    whole = _columns_with_ink(render(chart(line("owners", *[5] * 24)), LOOK))
    broken = _columns_with_ink(render(chart(line("owners", *[5] * 24, absent=range(10, 14))), LOOK))
    room = LOOK.width - len("5┤")
    inside = {n for n in range(room) if 9.2 < n / room * 24 < 13.8}
    assert inside <= whole
    assert not inside & broken
    assert broken


def test_a_point_between_two_gaps_is_seen():
    assert _columns_with_ink(render(chart(line("owners", *[5] * 24, absent=set(range(24)) - {12})), LOOK))


def test_without_colour_each_series_has_its_letter():
    text = render(chart(line("A", *[1] * 24), line("B", *[9] * 24)), LOOK)
    assert "\x1b" not in text
    low, high = ("".join(row) for row in (_axes(text)[len(_axes(text)) // 2 :], _axes(text)[: len(_axes(text)) // 2]))
    assert ("a" in low, "b" in low, "a" in high, "b" in high) == (True, False, False, True)
    assert "a  A  1" in text
    assert "b  B  9" in text


def test_with_colour_twenty_series_have_twenty_colours():
    text = render(chart(*(line(f"Owner {n}", n, n + 1) for n in range(20))), LOOK._replace(colour=True))
    keys = re.findall(r"\x1b\[38;5;(\d+)m━━\x1b\[0m (Owner \d+)", text)
    assert len({colour for colour, _ in keys}) == len({name for _, name in keys}) == 20


def test_one_series_needs_no_legend():
    assert "━━" not in render(chart(line("owners", 1, 2)), LOOK._replace(colour=True))


def test_what_is_not_final_is_marked_below_the_axis():
    rows = render(chart(line("owners", *range(24)), final_until=START + 12 * HOUR), LOOK).splitlines()
    mark = next(row for row in rows if row.strip() and set(row.strip()) == {"░"})
    assert (len(mark), mark.index("░")) == (80, pytest.approx(41, abs=2))
    assert "░ not final yet, may still be revised" in rows


def test_annotations_are_marked_at_their_time_and_listed():
    annotations = [
        annotation(0, 12),
        annotation(18, 18, "GENERAL", "A new log"),
        annotation(6, None, "PIPELINE", "Delayed"),
    ]
    rows = render(chart(line("owners", *range(24)), annotations=annotations), LOOK).splitlines()
    first, second = (row for row in rows if re.fullmatch(r" *[A-C]─* *[A-C ]*─*", row))
    assert (first.index("A"), first.index("B"), second.index("C")) == pytest.approx((3, 61, 22), abs=2)
    assert "A 2026-04-30 00:00 to 2026-04-30 12:00  OUTAGE: A large log refused submissions" in rows
    assert "B 2026-04-30 18:00  GENERAL: A new log" in rows
    assert "C since 2026-04-30 06:00  PIPELINE: Delayed" in rows


def test_the_older_of_many_annotations_are_counted():
    text = render(chart(line("owners", *range(24)), annotations=[annotation(n, n) for n in range(20)]), LOOK)
    assert "and 12 older ones: collector annotations" in text


@pytest.mark.parametrize("values", [(0, 0, 0), (5,), (-3, 4), (1e-9, 2e-9), (1e15, 3e15)])
@pytest.mark.parametrize("log", [False, True])
def test_any_values_can_be_drawn(values, log):
    assert _axes(render(chart(line("owners", *values), unit=""), LOOK._replace(log=log)))


def test_a_logarithmic_axis_has_powers_of_ten():
    text = render(chart(line("A", 1, 2), line("B", 30_000, 90_000)), LOOK._replace(log=True))
    assert re.findall(r"^ *(\S+)┤", text, re.MULTILINE) == ["100k", "10k", "1k", "100", "10", "1"]


def test_downsampling_keeps_the_extremes():
    values = [0.0] * 1000
    values[333], values[666] = 7.0, -7.0
    kept = downsample(range(1000), values, 50)
    assert len(kept) <= 100
    assert {(333, 7.0), (666, -7.0)} <= set(kept)
    assert kept == sorted(kept)
    assert downsample(range(60), values[:60], 50) == list(zip(range(60), values[:60], strict=True))


@pytest.mark.parametrize("colour", [False, True])
def test_a_hundred_series_have_different_marks(colour):
    lines = [line(f"series {n}", *[n + 1] * 24) for n in range(130)]
    text = re.sub("\x1b\\[[0-9;]*m", "", render(chart(*lines[:100]), LOOK._replace(colour=colour)))
    keys = re.findall(r"(\S+)  ?series (\d+) ", text)
    assert len(keys) == len({key for key, _ in keys}) == len({number for _, number in keys}) == 100
    assert set("".join(_axes(text))) - {" "} <= {key for key, _ in keys}
    many = render(chart(*lines), LOOK)
    assert re.search(r"the other \d+ series are not drawn, because there are no more marks", many)

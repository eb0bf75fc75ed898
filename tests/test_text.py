"""Foreign text on a terminal."""

import json
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import logs
from collector.cli import output
from collector.report.plot import image, terminal
from collector.text import printable, printable_json
from tests.harness.chart_factories import annotation, chart, line

HOSTILE = "\x1b]0;title\x07 \x9b2J \x7f \r \u202e reversed \u2066 \u200b"


def harmless(text):
    return not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text.replace("\n", ""))


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text):
    assert harmless(printable(text))
    assert len(printable(text)) == len(text)
    assert printable(printable(text)) == printable(text)


@given(st.text(st.characters(codec="utf-8")))
def test_json_says_the_same(text):
    document = printable_json(json.dumps({"a": text}, ensure_ascii=False, indent=2))
    assert harmless(document)
    assert json.loads(document) == {"a": text}


def test_a_chart_shows_what_came_from_radar_without_its_control_characters():
    hostile = annotation(3, 5, f"OUT{HOSTILE}", f"said {HOSTILE}")
    lines = [line(f"a{HOSTILE}", 1, 2, 3), line("b", 3, 4, 5)]
    drawn = terminal.render(
        chart(*lines, annotations=[hostile], unit=f"unit{HOSTILE}"), terminal.TerminalStyle(120, 40, colour=False)
    )
    assert harmless(drawn)
    assert "unit ]0;title" in drawn
    strip = image.arrange([hostile], chart(*lines).window, 700)
    assert all(harmless(bar.text) for bar in strip.bars)


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_log_line_is_harmless(style, capsys):
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        logs.configure("info", style)
        logging.getLogger("collector.x").info("event", extra={"reason": HOSTILE})
        logging.getLogger("other").error("said %s", HOSTILE)
        told = capsys.readouterr().err
    finally:
        logging.getLogger().handlers[:], logging.getLogger().level = before
    assert "reversed" in told
    assert harmless(told)


def test_tables_sentences_and_json_are_harmless(capsys):
    for form in ("table", "json"):
        output.show([{"unit": HOSTILE}], form)
    output.say(HOSTILE)
    out, err = capsys.readouterr()
    assert "reversed" in out
    assert "reversed" in err
    assert harmless(out + err)

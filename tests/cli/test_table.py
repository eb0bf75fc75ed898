"""The layout of tables."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from collector.cli.output import cell, cells_of, lay_out

ROWS = [
    {"name": "all", "points": 2374, "last_point": "2026-11-25T17:15:00Z", "state": "fresh"},
    {"name": "by-owner", "points": 82, "last_point": "2026-11-25T16:00:00Z", "state": "late"},
    {"name": "weekly", "points": None, "last_point": None, "state": "new"},
]


def _text(rows, width=None, strong=str):
    return "\n".join(lay_out(rows, cell, width, strong))


def test_it_works():
    assert _text(ROWS) == (
        "name      points  last point            state\n"
        "all        2,374  2026-11-25T17:15:00Z  fresh\n"
        "by-owner      82  2026-11-25T16:00:00Z  late\n"
        "weekly         -  -                     new"
    )


def test_a_table_that_fits_to_the_cell_is_a_table():
    assert _text(ROWS, 45) == _text(ROWS)
    assert _text(ROWS, 44) != _text(ROWS)


def test_one_long_text_is_folded_at_words_in_its_own_column():
    rows = [{"id": 1, "reason": "a sentence that is longer than what is left", "outcome": "refused"}]
    assert _text(rows, 45) == (
        "id  reason                            outcome\n 1  a sentence that is longer than    refused\n    what is left"
    )


def test_of_several_long_texts_the_longest_is_folded_the_most():
    assert _text([{"a": "word " * 5 + "end", "b": "word " * 9 + "end"}], 60) == (
        "a                             b\n"
        "word word word word word end  word word word word word word\n"
        "                              word word word end"
    )


def test_an_empty_column_is_aligned_like_text():
    assert _text([{"reason": None, "id": 1}]) == "reason  id\n-        1"


def test_rows_that_are_too_wide_become_columns():
    assert _text(ROWS, 44) == (
        "name        all\n"
        "points      2,374\n"
        "last point  2026-11-25T17:15:00Z\n"
        "state       fresh\n"
        "\n"
        "name        by-owner              weekly\n"
        "points      82                    -\n"
        "last point  2026-11-25T16:00:00Z  -\n"
        "state       late                  new"
    )


def test_only_titles_are_marked():
    assert _text([{"a": 1}], 80, strong="<{}>".format) == "<a>\n1"
    wide = [{"first": "x" * 30, "second": "y" * 30}]
    assert _text(wide, 40, strong="<{}>".format) == f"<first >  {'x' * 30}\n<second>  {'y' * 30}"


def test_a_character_as_wide_as_two_takes_the_room_of_two():
    rows = [{"label": "証明書", "unit": "x"}, {"label": "abcdef", "unit": "y"}]
    assert _text(rows, 20) == "label   unit\n証明書  x\nabcdef  y"


_WORDS = st.text("ab-", min_size=1, max_size=9)
_CELLS = st.one_of(st.none(), st.integers(0, 10**9), st.lists(_WORDS, min_size=1, max_size=9).map(" ".join))


@given(
    st.integers(1, 6).flatmap(lambda size: st.lists(st.lists(_CELLS, min_size=size, max_size=size), min_size=1)),
    st.integers(40, 120),
)
def test_no_line_is_wider_than_the_terminal_and_no_text_is_missing(values, width):
    rows = [{f"column_{index}": value for index, value in enumerate(row)} for row in values]
    lines = list(lay_out(rows, cell, width))
    assert all(cell_len(line) <= width for line in lines)
    shown = Counter("".join(lines))
    for row in rows:
        shown.subtract("".join(cell(value) for value in row.values()))
    assert all(count >= 0 for character, count in shown.items() if character != " ")


@given(st.text() | st.text(st.characters(max_codepoint=127)))
def test_the_cells_of_any_text_are_counted_as_rich_does(text):
    assert cells_of(text) == cell_len(text)

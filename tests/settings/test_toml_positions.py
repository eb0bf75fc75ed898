import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.settings.document import find_lines, line_of

EVERYTHING = r'''# = [not.a.table]
a.b.c = 1
"q.k" = """x # not a comment
"quoted" y = 2
z\""""
'lit#eral' = """""" # empty
[t] # [not.another]
u = { v = 1, "w" = [1, { z = 2 } ] } # }
arr = [ # ]
 "a,]\"[", # x

 'b\',
 [ [], {} ],
]
m = '''
EVERYTHING += """'''
[not]
k = 1'''''
d = 1979-05-27 07:32:00
e = []

  [ p . "x y" ]   # spaced
f=1e3
[[q]]
name = "a"
[q.f]
x.y = true
[[q]]
  [[q.g]]
  [[q.g]]
  h = inf
  [q.g.i]
[r.s.t]
[r]
n = 0xFF"""


def paths(value, path=()):
    """Return every key path of a parsed document, which the scanner must find too."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths(item, (*path, key))


def test_exactly_the_key_paths_are_found():
    assert set(find_lines(EVERYTHING)) == set(paths(tomllib.loads(EVERYTHING)))


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (2, ("a", "b", "c")),
        (3, ("q.k",)),
        (6, ("lit#eral",)),
        (7, ("t",)),
        (8, ("t", "u", "w", 1, "z")),
        (9, ("t", "arr")),
        (10, ("t", "arr", 0)),
        (12, ("t", "arr", 1)),
        (13, ("t", "arr", 2, 1)),
        (15, ("t", "m")),
        (18, ("t", "d")),
        (21, ("p", "x y")),
        (22, ("p", "x y", "f")),
        (23, ("q",)),
        (23, ("q", 0)),
        (26, ("q", 0, "f", "x", "y")),
        (27, ("q", 1)),
        (29, ("q", 1, "g", 1)),
        (30, ("q", 1, "g", 1, "h")),
        (31, ("q", 1, "g", 1, "i")),
        (32, ("r", "s", "t")),
        (34, ("r", "n")),
    ],
)
def test_a_key_is_found_on_its_line(line, path):
    assert find_lines(EVERYTHING)[path] == line


def test_an_empty_document_has_no_lines():
    assert find_lines("") == find_lines("# only\n\n") == {}


def test_a_missing_key_has_the_line_of_its_innermost_table():
    lines = find_lines('\n[[profiles]]\nname = "a"\n')
    assert line_of(lines, ("profiles", 0, "agg_interval")) == 2
    assert line_of(lines, ("server", "port")) is None


def test_the_example_is_located_like_any_document():
    text = (Path(__file__).parents[2] / "config.example.toml").read_text()
    lines = find_lines(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    assert text.splitlines()[lines[("radar", "timeout")] - 1] == 'timeout = "30s"'


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=5) | st.sampled_from("abc")
LEAVES = (
    st.integers(-9, 9) | st.booleans() | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=9)
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
GAPS = st.sampled_from(["", " ", "\n", " # ]}\n", "\n\n"])


@st.composite
def documents(draw):
    """A TOML document of nested tables, written in a drawn style."""
    return "".join(draw(_tables(draw(st.dictionaries(KEYS, VALUES, max_size=4)), "")))


@st.composite
def _tables(draw, table, prefix):
    lines, later = [], []
    for key, value in table.items():
        name = draw(_quoted(key))
        if isinstance(value, dict) and draw(st.booleans()):
            later.append(f"[{prefix}{name}]\n")
            later += draw(_tables(value, f"{prefix}{name}."))
        elif isinstance(value, list) and value and all(isinstance(x, dict) for x in value) and draw(st.booleans()):
            for item in value:
                later.append(f"[[ {prefix}{name} ]] # x\n")
                later += draw(_tables(item, f"{prefix}{name}."))
        else:
            lines.append(f"{name} = {draw(_written(value))} # ' \"\n{draw(GAPS)}\n")
    return lines + later


@st.composite
def _written(draw, value):
    if isinstance(value, dict):
        return (
            "{" + ", ".join([f"{draw(_quoted(key))} = {draw(_written(inner))}" for key, inner in value.items()]) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join([draw(GAPS) + draw(_written(inner)) + draw(GAPS) for inner in value]) + "]"
    if isinstance(value, str):
        return draw(_text(value))
    return str(value).lower()


@st.composite
def _text(draw, text):
    style = draw(st.sampled_from(["basic", "multi-line", "literal"]))
    if style == "literal" and text.isprintable() and "'" not in text:
        return draw(st.sampled_from([f"'{text}'", f"'''{text}'''", f"'''\n{text}'''"]))
    if style == "multi-line" and text.replace("\n", "").isprintable() and "\\" not in text and '"""' not in text:
        return f'"""\n{text}"""' if not text.endswith('"') else _basic(text)
    return _basic(text)


def _basic(text):
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text) + '"'


@st.composite
def _quoted(draw, key):
    bare = key.isascii() and key.isalnum()
    return key if bare and draw(st.booleans()) else _basic(key)


@given(documents())
def test_whatever_tomllib_reads_is_located(text):
    parsed = tomllib.loads(text)
    lines = find_lines(text)
    assert set(lines) == set(paths(parsed))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())

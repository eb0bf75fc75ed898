"""Find the line of each key of a TOML document, because `tomllib` does not return it.

The scanner only reads documents that `tomllib` has accepted, so it does not check the syntax.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.settings.problems import KeyPath

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY_PART = r"(?:\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|[A-Za-z0-9_-]+)"
_KEY = re.compile(rf"[ \t]*{_KEY_PART}(?:[ \t]*\.[ \t]*{_KEY_PART})*[ \t]*")
_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # up to two quotes are allowed right before the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


def find_lines(text: str) -> Mapping[KeyPath, int]:
    r"""Return the line, from 1, of every key, table and array element of a valid document with `\n` line breaks."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Return the line of *path*, or of the innermost table around it that has a line."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._breaks = [found.start() for found in re.finditer("\n", text)]
        self._tables: dict[KeyPath, int] = {}  # how many [[tables]] each array has so far

    def document(self) -> None:
        """Scan statement by statement: headers, and keys with their values."""
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._section_and_key(table)
            self._skip(_BLANK)

    def _header(self) -> KeyPath:
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *outer, last = self._key()
        self._at += brackets
        path: KeyPath = ()
        for part in outer:
            path = self._newest((*path, part), line)
        if brackets == 1:
            return self._newest((*path, last), line)
        path = (*path, last)
        self.lines.setdefault(path, line)
        self._tables[path] = self._tables.get(path, 0) + 1
        return self._newest(path, line)

    def _newest(self, path: KeyPath, line: int) -> KeyPath:
        """Return *path*, or its newest table if it is an array of tables."""
        if path in self._tables:
            path = (*path, self._tables[path] - 1)
        self.lines.setdefault(path, line)
        return path

    def _section_and_key(self, table: KeyPath) -> None:
        line = self._line()
        for part in self._key():
            table = (*table, part)
            self.lines.setdefault(table, line)
        self._at += 1  # the equals sign
        self._value(table)

    def _value(self, path: KeyPath) -> None:
        self._skip(_BLANK)
        self.lines.setdefault(path, self._line())
        opening = self._text[self._at]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._skip(_TEXT if opening in "\"'" else _BARE_VALUE)

    def _array(self, path: KeyPath) -> None:
        count = 0
        while self._more("]"):
            self._value((*path, count))
            count += 1

    def _inline_table(self, path: KeyPath) -> None:
        while self._more("}"):
            self._section_and_key(path)

    def _more(self, closing: str) -> bool:
        """Skip the opening bracket or a comma, and *closing* if it follows. Returns False after *closing*."""
        self._skip(_BLANK)
        if self._text[self._at] != closing:
            self._at += 1
            self._skip(_BLANK)
        if self._text[self._at] != closing:
            return True
        self._at += 1
        return False

    def _key(self) -> tuple[str, ...]:
        start = self._at
        self._skip(_KEY)
        return _parts(self._text[start : self._at])

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        assert found, "tomllib has accepted this document"
        self._at = found.end()

    def _line(self) -> int:
        return bisect_left(self._breaks, self._at) + 1


def _parts(key: str) -> tuple[str, ...]:
    """Return the parts of a dotted key, without quotes and escapes."""
    inner: object = tomllib.loads(f"{key}=0")
    parts = []
    while isinstance(inner, dict):
        part, inner = next(iter(inner.items()))
        parts.append(part)
    return tuple(parts)

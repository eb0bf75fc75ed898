"""The configuration file: find it, parse the TOML, and return its tables as the lowest layer above the defaults.

`tomllib` does not return the line of a key. The scanner that finds it reads only documents that `tomllib` has accepted,
so it does not check the syntax.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.settings.problems import ENVIRONMENT, SourceLocation, key_text, mask_tokens, quote, quote_path
from collector.settings.schema import FROM_FILE, NEVER_INLINE, PATHS, SECTIONS
from collector.settings.sources import CONFIG, SourceLayer, read_file
from collector.settings.validate import unknown_key
from collector.settings.values import NoSuchFile, read_configuration

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from collector.settings.problems import KeyPath, ProblemReport

DEFAULT_FILES = ("config.toml", "/etc/collector/config.toml")
"""Paths that are tried, in this order, if no configuration file is named."""

_TOML_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")


@dataclass(frozen=True)
class Document:
    """The content of a configuration file; *name* is empty if there is no file."""

    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def location(self, path: KeyPath) -> SourceLocation:
        """Return the location of *path*; for `KEY` that was read from a file, the location of `KEY_file`."""
        *outer, key = path
        file_path = (*outer, f"{key}_file")
        if path not in self.lines and file_path in self.lines:
            path = file_path
        return SourceLocation(self.name, key_text(path), line_of(self.lines, path))


def read_document(config: str | None, environ: Mapping[str, str], report: ProblemReport, *, required: bool) -> Document:
    """Read the file that *config* or the environment names, or the first default file that exists."""
    explicit = config if config is not None else environ.get(CONFIG) or None
    for name in DEFAULT_FILES if explicit is None else (explicit,):
        try:
            return _parse(name, read_configuration(Path(name)), report)
        except NoSuchFile as error:
            if explicit is not None:
                _reject(name, config, str(error), report)
        except ValueError as error:
            _reject(name, config, str(error), report)
            return Document(name)
    if explicit is None and required:
        looked = f"looked for ${CONFIG}, {', '.join(DEFAULT_FILES)}"
        report.add(
            (), SourceLocation("configuration", ""), f"no file found ({looked}); write one with: collector config init"
        )
    return Document()


def _reject(name: str, config: str | None, reason: str, report: ProblemReport) -> None:
    location = SourceLocation("command line", "--config") if config is not None else SourceLocation(ENVIRONMENT, CONFIG)
    if name in DEFAULT_FILES:
        location = SourceLocation(name, "")
    report.add((), location, f"found {quote_path(name)}: {reason}; allowed: a TOML file that this user can read")


def _parse(name: str, text: str, report: ProblemReport) -> Document:
    try:
        return Document(name, tomllib.loads(text), find_lines(text))
    except tomllib.TOMLDecodeError as error:
        position = _TOML_POSITION.search(str(error))
        line = int(position[1]) if position and position[1] else text.count("\n") + 1
        reason = (
            "a key that is not allowed here" if "@" in str(error) or "://" in str(error) else mask_tokens(str(error))
        )
        report.add((), SourceLocation(name, "", line), f"not valid TOML: {reason}")
    except RecursionError:
        report.add((), SourceLocation(name, ""), "nested too deeply")
    except ValueError:  # Python's limit on the digits of a number
        report.add((), SourceLocation(name, ""), "not valid TOML: a number with too many digits")
    return Document(name)


def read_tables(document: Document, already_set: Container[KeyPath], report: ProblemReport) -> SourceLayer:
    """Return every table except the profiles; for `KEY_file`, the content of that file is the value of KEY."""
    values: dict[str, dict[str, Any]] = {}
    for section, table in document.values.items():
        path = (section,)
        if section == "profiles":
            continue
        if section not in SECTIONS:
            report.add(path, document.location(path), unknown_key(section, (*SECTIONS, "profiles")))
        elif not isinstance(table, dict):
            report.add(path, document.location(path), f"found {quote(table)}; allowed: a table, [{section}]")
        else:
            values[section] = _without_secrets(section, table, document, report)
            values[section] = _with_files(section, values[section], document, already_set, report)
    return SourceLayer(values, document.location)


def _without_secrets(section: str, table: dict[str, Any], document: Document, report: ProblemReport) -> dict[str, Any]:
    for key in [key for key in table if (section, key) in NEVER_INLINE]:
        if isinstance(table[key], str):
            report.hide(table[key])
        text = f'secrets are not allowed in this file; write the secret to a separate file and set {key}_file = "FILE"'
        report.add((section, key), document.location((section, key)), text)
    return {key: value for key, value in table.items() if (section, key) not in NEVER_INLINE}


def _with_files(
    section: str, table: dict[str, Any], document: Document, already_set: Container[KeyPath], report: ProblemReport
) -> dict[str, Any]:
    """Replace each `KEY_file` with KEY and the content of that file; relative paths start at the document's folder."""
    values = dict(table)
    for _, key in (path for path in PATHS if path[0] == section and isinstance(values.get(path[1]), str)):
        values[key] = str(Path(document.name).parent / values[key])
    for path in sorted(FROM_FILE):
        key, file_key = path[1], f"{path[1]}_file"
        if path[0] != section or file_key not in values:
            continue
        value, location = values.pop(file_key), document.location((section, file_key))
        if key in values:
            report.add(path, location, f"{section}.{key} is set too; keep one of the two")
        elif not isinstance(value, str):
            report.add(path, location, f"found {quote(value)}; allowed: the path of a file")
        elif path not in already_set:
            text = read_file(path, value, Path(document.name).parent / value, location, report)
            values |= {} if text is None else {key: text}
    return values


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
        self._breaks = [line_break.start() for line_break in re.finditer("\n", text)]
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
        match = pattern.match(self._text, self._at)
        assert match, "tomllib has accepted this document"
        self._at = match.end()

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

"""Problems of a configuration, in one report that contains no secret."""

from __future__ import annotations

import re
from datetime import date, time
from typing import TYPE_CHECKING, NamedTuple

from collector.errors import UsageError
from collector.settings.values import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

KeyPath = tuple[str | int, ...]
"""The path of a value: `("profiles", 1, "filters", "ca_owner")`."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN_LIKE = re.compile(r"[A-Za-z0-9_+=-]{24,}")
_PLAIN_URL = re.compile(r"https?://[^@?]*")
_MAX_QUOTED_LENGTH = 60
_MAX_QUOTED_NUMBER = 10**15
_MIN_HIDDEN_LENGTH = 6


def key_text(path: KeyPath) -> str:
    """Return a key path as `profiles[1].filters.ca_owner`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (mask_tokens(part) if _BARE_KEY.fullmatch(part) else quote(part))
    return text


def mask_tokens(text: str) -> str:
    """Return *text* with every long run of letters and digits replaced by `***`, because it may be a token."""
    return _TOKEN_LIKE.sub(MASK, text)


def quote(value: object) -> str:
    """Return *value* as one short printable line; a text that may contain a password or a token becomes `***`."""
    if isinstance(value, str):
        return f'"{_quoted_text(value)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if isinstance(value, float) or abs(value) < _MAX_QUOTED_NUMBER else "a very large number"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return "a table"
    return "a list" if value else "an empty list"


def quote_path(text: str) -> str:
    """Return a path in quotes; without a slash, a part that looks like a token becomes `***`, because it may be one."""
    if "@" in text or "://" in text:
        return f'"{MASK}"'
    return f'"{_printable(text if "/" in text else mask_tokens(text))}"'


def _quoted_text(text: str) -> str:
    if ("@" in text or "://" in text) and not _PLAIN_URL.fullmatch(text):
        return MASK
    escaped = _printable(mask_tokens(text))
    return escaped if len(escaped) <= _MAX_QUOTED_LENGTH else escaped[: _MAX_QUOTED_LENGTH - 1] + "…"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return f"\\{character}" if character in '"\\' else repr(character)[1:-1]


class SourceLocation(NamedTuple):
    """Source of a value. *file* is a path, `environment` or `command line`; *key* is spelled as in the source."""

    file: str
    key: str
    line: int | None = None

    @property
    def origin(self) -> str:
        """The shortest text with which the operator finds the value: `config.toml:12`, or the name of a variable."""
        if self.file == ENVIRONMENT:
            return self.key
        return self.file if self.line is None else f"{self.file}:{self.line}"


ENVIRONMENT = "environment"
COMMAND_LINE = "command line"


class Problem(NamedTuple):
    """One problem: file, line, key, and a text with the value that was found and the allowed values."""

    file: str
    line: int | None
    key: str
    text: str

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        key = f" {self.key}:" if self.key else ""
        return f"{self.file}{line}:{key} {self.text}"


class ConfigurationError(UsageError):
    """The configuration has problems; the text has one line for each of *problems*."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join((f"{count} in the configuration", *map(str, self.problems))))


class ProblemReport:
    """Collects the problems, and the paths that have one, so that rules over several keys can skip them."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._secrets: set[str] = set()
        self._invalid_paths: set[KeyPath] = set()

    def add(self, path: KeyPath, location: SourceLocation, text: str) -> None:
        """Add a problem of the value at *path*. *location* is the source of the value."""
        self._invalid_paths.add(path)
        problem = Problem(location.file, location.line, location.key, text)
        if problem not in self._problems:
            self._problems.append(problem)

    def hide(self, secret: str) -> None:
        """Mask *secret* in every problem, unless it is shorter than 6 characters, because words could contain it."""
        if len(secret) >= _MIN_HIDDEN_LENGTH:
            self._secrets.add(secret)

    def is_valid(self, *paths: KeyPath) -> bool:
        """Return whether none of *paths* has a problem."""
        return self._invalid_paths.isdisjoint(paths)

    def raise_if_any(self) -> None:
        """Raises ConfigurationError with all problems, sorted by file and line, if there is one."""
        if self._problems:
            files = list(dict.fromkeys(p.file for p in self._problems))
            ordered = sorted(self._problems, key=lambda p: (files.index(p.file), p.line or 0))
            raise ConfigurationError(map(self._redacted, ordered))

    def _redacted(self, problem: Problem) -> Problem:
        file, key, text = problem.file, problem.key, problem.text
        for secret in sorted(self._secrets, key=len, reverse=True):
            file, key, text = (part.replace(secret, MASK) for part in (file, key, text))
        return Problem(file, problem.line, key, text)

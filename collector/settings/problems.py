"""What is wrong with a configuration, said once for all of it and without giving a secret away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, time
from typing import TYPE_CHECKING

from collector.errors import UsageError
from collector.settings.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

KeyPath = tuple[str | int, ...]
"""Where a value stands: `("profiles", 1, "filters", "ca_owner")`."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN_LIKE = re.compile(r"[A-Za-z0-9_+=-]{24,}")
_PLAIN_URL = re.compile(r"https?://[^@?]*")
_LONGEST = 60
_LARGEST = 10**15
_SHORTEST_SECRET = 6


def key_text(path: KeyPath) -> str:
    """Write a key path as `profiles[1].filters.ca_owner`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (mask_tokens(part) if _BARE_KEY.fullmatch(part) else quote(part))
    return text


def mask_tokens(text: str) -> str:
    """Blot out what looks like a token: a long run of letters and digits."""
    return _TOKEN_LIKE.sub(MASK, text)


def quote(value: object) -> str:
    """Show what was found, in one short printable line; what may hold a password or a token is `***`."""
    if isinstance(value, str):
        return f'"{_shown_text(value)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if isinstance(value, float) or abs(value) < _LARGEST else "a very large number"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return "a table"
    return "a list" if value else "an empty list"


def quote_path(text: str) -> str:
    """Show a path in full; one that has no slash and looks like a token was pasted in place of a file's name."""
    if "@" in text or "://" in text:
        return f'"{MASK}"'
    return f'"{_printable(text if "/" in text else mask_tokens(text))}"'


def _shown_text(text: str) -> str:
    if ("@" in text or "://" in text) and not _PLAIN_URL.fullmatch(text):
        return MASK
    escaped = _printable(mask_tokens(text))
    return escaped if len(escaped) <= _LONGEST else escaped[: _LONGEST - 1] + "…"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return f"\\{character}" if character in '"\\' else repr(character)[1:-1]


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Where a value was given. *file* is a path, `environment` or `command line`; *key* as the operator spelled it."""

    file: str
    key: str
    line: int | None = None

    @property
    def origin(self) -> str:
        """The shortest text that lets the operator find the value: `config.toml:12`, or a variable's name."""
        if self.file == ENVIRONMENT:
            return self.key
        return self.file if self.line is None else f"{self.file}:{self.line}"


ENVIRONMENT = "environment"
COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it stands, what was found and what is allowed."""

    file: str
    line: int | None
    key: str
    text: str

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        key = f" {self.key}:" if self.key else ""
        return f"{self.file}{line}:{key} {self.text}"


class ConfigurationError(UsageError):
    """The configuration cannot be used; the text is the whole report, one line for each of *problems*."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join((f"{count} in the configuration", *map(str, self.problems))))


class ProblemReport:
    """Collects problems while a configuration is read, and which keys they spoil for rules over several keys."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._secrets: set[str] = set()
        self._spoiled: set[KeyPath] = set()

    def add(self, path: KeyPath, place: SourceLocation, text: str) -> None:
        """Note that the value at *path*, which stands at *place*, is wrong."""
        self._spoiled.add(path)
        problem = Problem(place.file, place.line, place.key, text)
        if problem not in self._problems:
            self._problems.append(problem)

    def hide(self, secret: str) -> None:
        """Keep *secret* out of the report, whatever a text might quote; a very short one would blot out words."""
        if len(secret) >= _SHORTEST_SECRET:
            self._secrets.add(secret)

    def is_valid(self, *paths: KeyPath) -> bool:
        """Tell whether nothing is wrong with the values at *paths*."""
        return self._spoiled.isdisjoint(paths)

    def raise_if_any(self) -> None:
        """Raise ConfigurationError with everything that was noted, file by file and line by line."""
        if self._problems:
            files = list(dict.fromkeys(p.file for p in self._problems))
            ordered = sorted(self._problems, key=lambda p: (files.index(p.file), p.line or 0))
            raise ConfigurationError(map(self._redacted, ordered))

    def _redacted(self, problem: Problem) -> Problem:
        file, key, text = problem.file, problem.key, problem.text
        for secret in sorted(self._secrets, key=len, reverse=True):
            file, key, text = (part.replace(secret, MASK) for part in (file, key, text))
        return Problem(file, problem.line, key, text)

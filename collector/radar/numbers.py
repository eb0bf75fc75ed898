"""Values of an answer: doubles beyond doubt, None where a bucket counts as absent."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import TYPE_CHECKING, Any, Self

from collector.radar.errors import Untrusted
from collector.radar.failure import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.radar.deviations import Deviations

_COUNTS = re.compile(r"(?:[0-9]{1,15}\n)*")
_DECIMALS = re.compile(r"(?:-?[0-9]+(?:\.[0-9]+)?\n)*")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BLANKS = " \t\r\n"
_MOST = 2**53
"""Beyond it a double does not hold every integer."""
_MOST_DIGITS = 16
_EXACT_DIGITS = 15  # every decimal of so few digits comes back unchanged from a double


class JsonNumber(float):
    """A number of JSON with a point or an exponent; *text* is how it is written there."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Keep *text* beside its nearest double."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def read_values(found: Sequence[Any], deviations: Deviations) -> tuple[list[float | None], int]:
    """Read numbers, or texts of numbers; None for what is left out, and how many of those are no null.

    Untrusted for a number beyond 2^53. A decimal of more digits than a double holds gives the nearest one.
    """
    if (plain := _plain(found)) is not None:
        return plain, 0
    values = [_value(content, deviations) for content in found]
    unreadable = sum(value is None and content is not None for value, content in zip(values, found, strict=True))
    return values, unreadable


def _plain(found: Sequence[Any]) -> list[float | None] | None:
    """Read texts that all are short decimals, exact as they are; None if one is anything else."""
    try:
        joined = "\n".join(found) + "\n" if found else ""
        if _COUNTS.fullmatch(joined):  # by far the most, and read in half the time by way of int
            return [*map(float, map(int, found))]
        if _DECIMALS.fullmatch(joined) and max(map(len, found)) <= _EXACT_DIGITS:
            return [value + 0.0 for value in map(float, found)]  # -0 becomes 0
    except (TypeError, ValueError):  # what is no text, or a text of several lines
        pass
    return None


def _value(content: Any, deviations: Deviations) -> float | None:
    if content is None:
        deviations.note("values that are null count as absent")
        return None
    if isinstance(content, int) and not isinstance(content, bool):
        deviations.note("values are numbers instead of text")
        return _checked(float(content) if abs(content) <= _MOST else content, content)
    if isinstance(content, JsonNumber):
        deviations.note("values are numbers instead of text")
        content = content.text
    text = content.strip(_BLANKS) if isinstance(content, str) else ""
    value = _number(text, deviations) if _NUMBER.fullmatch(text) else None
    if value is None:
        deviations.note("values that are no finite number count as absent")
    return value


def _number(text: str, deviations: Deviations) -> float | None:
    """Read what looks like a number; None if it is larger than any double."""
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-").lstrip("0")
        return _checked(_MOST + 1 if len(digits) > _MOST_DIGITS else int(text), text)
    value = float(text)
    if not isfinite(value):
        return None
    if abs(value) >= _MOST and abs(Decimal(text)) > _MOST:  # the double may be 2^53, and what is written more
        return _checked(_MOST + 1, text)
    if not _is_exact(text, value):
        deviations.note("values have more digits than a double holds, and are rounded to the nearest one")
    return _checked(value, text)


def _is_exact(text: str, value: float) -> bool:
    if len(text) <= _EXACT_DIGITS and "e" not in text.lower():
        return True
    try:
        return Decimal(text) in {Decimal(value), Decimal(repr(value))}
    except InvalidOperation:  # an exponent that no decimal can have
        return False


def _checked(value: float, content: Any) -> float:
    if abs(value) > _MOST:
        raise Untrusted(f"{quoted(content)} is larger than 2^53, so it may not be exact")
    return float(value) + 0.0  # -0 becomes 0

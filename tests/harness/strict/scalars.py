"""What one timestamp, date or value of an answer means, for the strict checker.

Wherever the table of readings leaves room, OneOf holds each of the readings that are allowed.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.harness.strict.json_parser import Number, Rejected, need

_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
_ALMOST_DATE_TIME = re.compile(
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?\s*([Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ALMOST_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 2**53
_DIGITS_OF_A_DOUBLE = 17
_FIRST_MILLISECONDS = 10**11  # as seconds this is the year 5138, as milliseconds 1973


class OneOf(tuple):
    """Readings of which each is allowed."""

    __slots__ = ()


class Absent:
    """The bucket has no value; *readable* is false for what is neither a number nor null, None if that is open."""

    def __init__(self, readable):
        self.readable = readable


NULL, UNREADABLE, EMPTY = Absent(readable=True), Absent(readable=False), Absent(readable=None)


class Beyond(Rejected):
    """The number is beyond 2^53; or it is no number at all, if *is_number* is false."""

    def __init__(self, *, is_number=True):
        super().__init__("beyond 2^53")
        self.is_number = is_number


_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class Moment:
    """A moment to the microsecond: whether it names its zone, is that exactly, and is spelt as RFC 3339 does."""

    __slots__ = ("at", "strict", "whole", "zoned")

    def __init__(self, at, zoned, whole, strict):
        self.at, self.zoned, self.whole, self.strict = at, zoned, whole, strict


def moment(text):
    """Read what RFC 3339 allows, without seconds or the time of day or the zone, too; Rejected for anything else."""
    match = _DATE_TIME.fullmatch(text) if isinstance(text, str) else None
    strict = match is not None
    match = match or (_ALMOST_DATE_TIME.fullmatch(text.strip()) if isinstance(text, str) else None)
    if not match and isinstance(text, str) and (http := _HTTP_DATE.fullmatch(text.strip())):
        return _of_http(*http.groups())
    need(match, "date-time")
    *fields, fraction, zone = match.groups()
    micro = (fraction or "0")[:6].ljust(6, "0")
    whole = not (fraction or "")[6:].strip("0")
    try:
        naive = datetime(*(int(field or 0) for field in fields), int(micro), tzinfo=UTC)
        return Moment(naive - _away(zone), zone is not None, whole, strict)
    except (ValueError, OverflowError):
        raise Rejected("no such moment") from None


def _of_http(day, month, year, *clock):
    need(month in _MONTHS, "month")
    try:
        at = datetime(int(year), _MONTHS.index(month) + 1, int(day), *map(int, clock), tzinfo=UTC)
    except ValueError:
        raise Rejected("no such moment") from None
    return Moment(at, zoned=True, whole=True, strict=False)


def _away(zone):
    if zone in {None, "Z", "z", "UTC", "GMT"}:
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    need(int(digits[:2]) < 24 and int(digits[2:]) < 60, "zone")
    away = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return away if zone[0] == "+" else -away


def letters(text):
    """Return the letters and digits of *text* without case."""
    return "".join(c for c in text.casefold() if c.isalnum())


class NamedBy:
    """The members of an object, found whatever the case and punctuation of their names."""

    def __init__(self, content):
        self.content = content if isinstance(content, dict) else {}

    def get(self, *names):
        """Return the first of *names* that is there; the exact one before others, of several others none."""
        for name in names:
            if name in self.content:
                return self.content[name]
            found = [one for key, one in self.content.items() if letters(key) == letters(name)]
            if found:
                return found[0] if len(found) == 1 else None
        return None


def is_moment(content):
    """Return whether *content* is a moment in any form."""
    try:
        stamp(content)
    except (Rejected, ValueError, OverflowError):
        return False
    return True


def inner(content):
    """Return the only one of a list, and `value` of an object; *content* itself if it is none of these."""
    if isinstance(content, list) and len(content) == 1:
        return content[0]
    return content["value"] if isinstance(content, dict) and "value" in content else content


def date(text):
    """Return the moment that a field of meta holds: date only and naive as UTC, a fraction to the microsecond."""
    return moment(text).at


def stamp(content):
    """Return (epoch seconds, whether it names its zone) of a timestamp; the seconds are a float if off any grid."""
    if isinstance(content, list | dict):
        need(inner(content) is not content, "no timestamp")
        content = inner(content)
    if isinstance(content, str) and re.fullmatch(r"\s*[0-9]{9,19}(?:\.0*)?\s*", content, re.ASCII):
        content = Number(content.strip())
    if isinstance(content, Number):
        return _epoch(content.text), True
    found = moment(content)
    since = (found.at - _EPOCH) / timedelta(seconds=1)
    return (int(since) if found.whole and not found.at.microsecond else since + 0.25), found.zoned


def _epoch(text):
    need(abs(float(text)) < 1e21, "no such moment")
    since = Decimal(text)
    for _ in range(3):  # milli-, micro-, nanoseconds
        since = since / 1000 if abs(since) >= _FIRST_MILLISECONDS else since
    need(-62_135_596_800 <= since < 253_402_300_800, "no such moment")
    return int(since) if since == int(since) else float(since)


def value(content):
    """Return (the value, or an Absent, or OneOf them; whether it must be noted that digits were lost).

    Raises Beyond.
    """
    text = content.text if isinstance(content, Number) else content
    if text is None:
        return NULL, False
    if text == "":
        return EMPTY, False
    if isinstance(text, str) and _DECIMAL.fullmatch(text):
        return _decimal(text)
    if isinstance(text, str) and _ALMOST_DECIMAL.fullmatch(text):
        try:
            return OneOf((_decimal(text.strip())[0], UNREADABLE)), False
        except Beyond:
            raise Beyond(is_number=False) from None
    return UNREADABLE, False


def _decimal(text):
    found = float(text)
    significand, _, exponent = text.lower().partition("e")
    if abs(found) == float("inf"):
        if exponent:
            return UNREADABLE, False
        raise Beyond
    if abs(found) >= _LARGEST and abs(Decimal(text)) > _LARGEST:
        raise Beyond
    digits = significand.lstrip("+-").replace(".", "").strip("0")
    return found, len(digits) > _DIGITS_OF_A_DOUBLE


def shown(text):
    """Return *text* as it is stored: no lone surrogate, no NUL."""
    need(isinstance(text, str), "text")
    return "".join("?" if 0xD800 <= ord(c) < 0xE000 else "\ufffd" if c == "\0" else c for c in text)

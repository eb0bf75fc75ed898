"""Parse single values of an answer as far as they are readable: texts, numbers, times, words in any spelling."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.model import from_epoch

if TYPE_CHECKING:
    from collections.abc import Mapping


_MOST_KEYS = 1_000


def text_of(content: Any) -> str:
    """Return a text that every database can store: null is empty, an object is its JSON.

    NUL and lone surrogates are replaced.
    """
    if content is None:
        return ""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, sort_keys=True)
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def parse_number(content: Any) -> float | None:
    """Parse a number or the text of one; None for anything else."""
    if isinstance(content, bool) or not isinstance(content, int | float | str):
        return None
    try:
        return float(content)
    except (ValueError, OverflowError):
        return None


def folded(word: str) -> str:
    """Return the letters and digits of *word* without case, to compare spellings."""
    return "".join(character for character in word.casefold() if character.isalnum())


def member(content: Mapping[str, Any], *names: str) -> Any:
    """Return the value of the first of *names* that exists, in any case and punctuation; None if none exists.

    The exact spelling counts more than others. If several keys differ in spelling only, none of them counts. In an
    object with very many keys only the exact spelling counts, because every key would have to be compared.
    """
    for name in names:
        if name in content:
            return content[name]
        if len(content) > _MOST_KEYS:
            continue
        found = [inner for key, inner in content.items() if folded(key) == folded(name)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def sole(content: Any) -> Any:
    """Return the content of a list whose entries are all equal; otherwise *content* itself."""
    if isinstance(content, list) and content and all(one == content[0] for one in content):
        return content[0]
    return content


def unwrapped(content: Any) -> Any:
    """Return the single entry of a list, or `value` of an object; otherwise *content* itself."""
    if isinstance(content, list) and len(content) == 1:
        return content[0]
    return content["value"] if isinstance(content, dict) and "value" in content else content


_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}/[0-9]{2}/[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?\s*(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
_HTTP_DATE = re.compile(
    r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2}) GMT", re.ASCII
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBER = re.compile(r"[0-9]{9,19}(?:\.0*)?", re.ASCII)
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))
"""From so much on a number counts so many parts of a second: as the next coarser unit it would be the year 5138."""
_STARTS = ("startTime", "startDate", "start", "from")
_ENDS = ("endTime", "endDate", "end", "to")
_UTC = frozenset({"Z", "z", "UTC", "GMT"})


class ParsedTime(NamedTuple):
    """A time in UTC; *zoned*: the text names its time zone. Otherwise it was read as UTC."""

    at: datetime
    zoned: bool


def parse_answer_time(content: Any) -> ParsedTime | None:
    """Parse a text, or a number of seconds or fractions of seconds since 1970; None for anything else.

    Accepts any offset and precision, a blank instead of the T, minutes or a date alone, slashes, UTC and GMT, and the
    HTTP form. A number may also count milli-, micro- or nanoseconds.
    """
    if isinstance(content, int | float) and not isinstance(content, bool):
        return _from_number(content)
    if not isinstance(content, str):
        return None
    text = content.strip()
    if _NUMBER.fullmatch(text):
        return _from_number(float(text))
    match, http = _MOMENT.fullmatch(text), _HTTP_DATE.fullmatch(text)
    try:
        if http:
            return _from_http(*http.groups())
        return _from_parts(*match.groups()) if match else None
    except (ValueError, OverflowError):
        return None


def parse_span(content: Any) -> tuple[datetime, datetime] | None:
    """Parse start and end: an object, a list of two, or `start/end`. None if one is unreadable or the end is first."""
    ends: Any = content.split("/") if isinstance(content, str) else content
    if isinstance(content, dict):
        ends = [member(content, *_STARTS), member(content, *_ENDS)]
    if not isinstance(ends, list) or len(ends) != 2:  # noqa: PLR2004 - a start and an end
        return None
    start, end = parse_answer_time(ends[0]), parse_answer_time(ends[1])
    return (start.at, end.at) if start and end and start.at <= end.at else None


def _from_number(number: float) -> ParsedTime | None:
    try:
        parts = next((parts for least, parts in _UNITS if abs(number) >= least), 1)
        return ParsedTime(from_epoch(number / parts), zoned=True)
    except (ValueError, OverflowError):
        return None


def _from_http(day: str, month: str, year: str, clock: str) -> ParsedTime:
    return _from_parts(f"{year}-{_MONTHS.index(month) + 1:02}-{day}", clock[:5], clock[6:], None, "Z")


def _from_parts(
    date: str, minutes: str | None, seconds: str | None, fraction: str | None, zone: str | None
) -> ParsedTime:
    local = datetime.fromisoformat(f"{date.replace('/', '-')}T{minutes or '00:00'}:{seconds or '00'}").replace(
        tzinfo=UTC
    )
    if fraction:
        local += timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
        if fraction[6:].strip("0"):
            local += timedelta(microseconds=1)  # no whole second looks like one
    return ParsedTime(local - _offset(zone), zoned=zone is not None)


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone in _UTC:
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - hours of a day, minutes of an hour
        raise ValueError(f"{zone} is no offset")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset

"""Parse the timestamps and values of a series, and single values. Anything ambiguous rejects the answer."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from math import isfinite
from operator import lt
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, cast

import orjson

from collector.model import Points
from collector.radar.classify import quote
from collector.radar.errors import OffGrid, Untrusted
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from collector.model import Batch, Slice, Window
    from collector.radar.response_deviations import Deviations

T = TypeVar("T", bound=Points)

_DAY = 86_400
_EPOCH = from_epoch(0)
_SECOND = timedelta(seconds=1)


def parse_timestamps(
    contents: Sequence[Any], window: Window, step: int, deviations: Deviations
) -> Sequence[int | None]:
    """Parse the starts of buckets of *step* seconds in *window*, in their order; None for one that is left out.

    Null and timestamps outside the window are left out. Raises Untrusted for a text that is no time, for times without
    a zone that do not fit the window, and if only some are off the grid. Raises OffGrid if all are off by one distance,
    not counting a first one at the start of the window.
    """
    usual = parse_usual_timestamps(contents, window, step)
    if usual is not None:
        return usual
    moments = _read(contents, window, step, deviations)
    inside = [moment if moment is not None and window.start <= moment < window.end else None for moment in moments]
    in_window = [moment for moment in inside if moment is not None]
    count = sum(moment is not None for moment in moments)
    _check_grid(in_window or _just_before(moments, window, step), window, step)
    if count and not in_window:
        raise Untrusted(f"all timestamps are outside {window}")
    _check_starts({*in_window}, {moment for moment in moments if moment is not None}, window, step)
    if len(in_window) < count:
        deviations.note("timestamps outside of the window asked for are left out")
    return [None if moment is None else (moment - _EPOCH) // _SECOND for moment in inside]


def on_one_grid(
    contents: Sequence[Mapping[str, Any]], batch: Batch, read: Callable[[Mapping[str, Any], Slice], T]
) -> tuple[T, ...]:
    """Read the series of every slice. *read* raises OffGrid for one that is off the grid.

    Raises OffGrid if all series that have buckets are off the grid by one distance, Untrusted if only some are.
    """
    series: list[T] = []
    off_grid: list[OffGrid] = []
    for content, slice_ in zip(contents, batch.slices, strict=True):
        try:
            series.append(read(content, slice_))
        except OffGrid as error:
            off_grid.append(error)
    several_grids = len({error.offset for error in off_grid}) > 1
    if several_grids or (off_grid and any(points.timestamps for points in series)):
        raise Untrusted("the series are on several grids")
    if off_grid:
        raise off_grid[0]
    return tuple(series)


def parse_usual_timestamps(contents: Sequence[Any], window: Window, step: int) -> Sequence[int] | None:
    """Parse timestamps that are all bucket starts of *window* in the documented form; None if one is anything else."""
    seconds, texts = expected_timestamps(window, step)
    if contents == texts:  # nothing is missing, which one comparison of lists shows
        return seconds
    try:
        return [*map(_starts_by_text(window, step).__getitem__, contents)]
    except (KeyError, TypeError):  # another text, or a list or an object
        return None


def is_ascending(moments: Sequence[int]) -> bool:
    """Return whether every moment is later than the one before it."""
    return isinstance(moments, range) or all(map(lt, moments, moments[1:]))


def without_absent(moments: Sequence[int], values: Sequence[float | None]) -> Points:
    """Return the points of ascending *moments*, without the absent values."""
    points = [(moment, value) for moment, value in zip(moments, values, strict=True) if value is not None]
    if len(points) == len(values):
        return Points(moments, cast("Sequence[float]", values))
    return Points([moment for moment, _ in points], [value for _, value in points])


def _read(contents: Sequence[Any], window: Window, step: int, deviations: Deviations) -> list[datetime | None]:
    moments: list[datetime | None] = []
    naive = []
    for content in contents:
        moment = _moment(content, step, deviations)
        if moment is None and content is not None:
            raise Untrusted(f"{quote(content)} is not a timestamp")
        moments.append(moment.at if moment else None)
        naive += [moment.at] if moment and not moment.zoned else []
        if content is None:
            deviations.note("timestamps that are null are left out")
        elif isinstance(content, int | float):
            deviations.note("timestamps are numbers")
    if naive:
        deviations.note("timestamps name no zone")
        if not (window.start <= min(naive) and max(naive) < window.end):
            raise Untrusted(f"timestamps without a zone do not fit {window}")
    return moments


def _moment(content: Any, step: int, deviations: Deviations) -> ParsedTime | None:
    """Parse one timestamp; of an object with start and end, return the start if they are one bucket apart."""
    if not isinstance(content, list | dict):
        return parse_answer_time(content)
    deviations.note("timestamps stand inside of lists or objects")
    inner = unwrapped(content)
    if inner is not content:
        return parse_answer_time(inner)
    span = parse_span(content)
    return ParsedTime(span[0], zoned=True) if span and span[1] - span[0] == timedelta(seconds=step) else None


def _check_starts(inside: set[datetime], moments: set[datetime], window: Window, step: int) -> None:
    """Raise Untrusted if timestamps seem to be ends of buckets: the first is absent, one is at the window's end."""
    expected = window.duration // timedelta(seconds=step)
    if window.end in moments and window.start not in inside and len(inside) == expected - 1:
        raise Untrusted(f"timestamps reach from the second bucket of {window} to its end: they may be ends of buckets")


def _just_before(moments: Sequence[datetime | None], window: Window, step: int) -> list[datetime]:
    """Return the moments if all of them are starts of buckets that contain the start of *window*."""
    present = [moment for moment in moments if moment is not None]
    earliest = window.start - timedelta(seconds=step)
    return present if all(earliest < moment < window.start for moment in present) else []


def _check_grid(moments: Sequence[datetime], window: Window, step: int) -> None:
    """Raise OffGrid if all of *moments* are off by one distance, not counting a bucket that the window cuts."""
    width = timedelta(seconds=step)
    offsets = {(moment - window.start) % width for moment in moments}
    if offsets <= {timedelta(0)}:
        return
    if len(offsets) > 1:  # a first bucket that begins with the window may be the rest of one that began before it
        offsets = {(moment - window.start) % width for moment in moments if moment != window.start}
    if len(offsets) > 1 or timedelta(0) in offsets:
        raise Untrusted("timestamps are on several grids")
    (offset,) = offsets
    raise OffGrid(
        f"timestamps are {offset.total_seconds():g} s after the grid, for example {rfc3339(moments[-1])}", offset=offset
    )


@lru_cache(maxsize=8)
def expected_timestamps(window: Window, step: int) -> tuple[range, list[str]]:
    """Return the starts of all buckets of *step* seconds in *window*, in epoch seconds and in the documented form."""
    seconds = range(int(window.start.timestamp()), int(window.end.timestamp()), step)
    days = {day: rfc3339(from_epoch(day * _DAY))[:11] for day in range(seconds.start // _DAY, seconds.stop // _DAY + 1)}
    return seconds, [days[second // _DAY] + _time_of_day(second % _DAY) for second in seconds]


@lru_cache(maxsize=8)
def _starts_by_text(window: Window, step: int) -> dict[str, int]:
    seconds, texts = expected_timestamps(window, step)
    return dict(zip(texts, seconds, strict=True))


@cache
def _time_of_day(second: int) -> str:
    return rfc3339(from_epoch(second))[11:]


_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BLANKS = " \t\r\n"
_NULL_VALUES = "values that are null count as absent"
_MAX_EXACT = 2**53
"""Beyond it a double does not hold every integer."""
_MAX_DIGITS = 16
_EXACT_DIGITS = 15
"""Every decimal of so few digits comes back unchanged from a double, if its size is at least _MIN_EXACT."""
_MIN_EXACT = 1e-290  # a double below 1e-307 has fewer digits


class JsonNumber(float):
    """A JSON number with a point or an exponent; *text* is its original spelling."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Keep *text* beside the nearest double."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def parse_values(contents: Sequence[Any], deviations: Deviations) -> tuple[list[float | None], int]:
    """Parse numbers, or texts of numbers; None for one that is left out. Also return how many of those are not null.

    Raises Untrusted for a number beyond 2^53. A decimal with more digits than a double has is rounded to the nearest
    one.
    """
    exact = parse_exact_or_null(contents, deviations)
    if exact is not None:
        return exact, 0
    values = [_value(content, deviations) for content in contents]
    unreadable = sum(value is None and content is not None for value, content in zip(values, contents, strict=True))
    return values, unreadable


def parse_exact_values(contents: Sequence[Any]) -> list[float] | None:
    """Parse texts of numbers that a double holds exactly; None if an entry is anything else.

    All texts are parsed as one array. The exponent 0 behind a text makes an integer a float.
    """
    try:
        joined = "e0,".join(contents)
    except TypeError:  # an entry that is no text
        return None
    if not contents:
        return []
    numbers, total = _parse_array(joined + "e0", len(contents))
    if not numbers:
        return _parse_with_exponents(contents)
    are_counts = "." not in joined and "-" not in joined and total < _MAX_EXACT
    if not (are_counts or max(map(len, contents)) <= _EXACT_DIGITS or _are_exact(contents, numbers)):
        return None
    return [number + 0.0 for number in numbers] if "-" in joined else numbers  # -0 becomes 0


def parse_exact_or_null(contents: Sequence[Any], deviations: Deviations) -> list[float | None] | None:
    """Parse like parse_exact_values; null is None."""
    numbers = parse_exact_values([content for content in contents if content is not None])
    if numbers is None:
        return None
    if len(numbers) == len(contents):
        return [*numbers]
    deviations.note(_NULL_VALUES)
    following = iter(numbers)
    return [None if content is None else next(following) for content in contents]


def _parse_with_exponents(texts: Sequence[str]) -> list[float] | None:
    joined = ",".join(texts)
    numbers, total = _parse_array(joined, len(texts))
    if not numbers or "true" in joined or "false" in joined:  # which have a sum, too
        return None
    floats = [number + 0.0 for number in numbers]
    is_short = max(map(len, texts)) <= _EXACT_DIGITS and min(floats) >= _MIN_EXACT and total < _MAX_EXACT
    return floats if is_short or _are_exact(texts, floats) else None


def _parse_array(joined: str, count: int) -> tuple[list[float], float]:
    """Parse *joined* as *count* numbers of JSON, separated by commas, and their sum; an empty list if it is not that.

    A list, object, text or null has no sum. Without them every comma separates two numbers, so that a text with several
    numbers changes their count.
    """
    try:
        numbers: list[float] = orjson.loads(f"[{joined}]")
        total = sum(numbers)
    except (TypeError, orjson.JSONDecodeError):
        return [], 0
    return (numbers, total) if len(numbers) == count else ([], 0)


def _are_exact(texts: Sequence[str], numbers: Sequence[float]) -> bool:
    return max(map(abs, numbers)) < _MAX_EXACT and all(map(_is_exact, texts, numbers))


def _value(content: Any, deviations: Deviations) -> float | None:
    if content is None:
        deviations.note(_NULL_VALUES)
        return None
    if isinstance(content, int) and not isinstance(content, bool):
        deviations.note("values are numbers instead of text")
        return _checked(float(content) if abs(content) <= _MAX_EXACT else content, content)
    if isinstance(content, JsonNumber):
        deviations.note("values are numbers instead of text")
        content = content.text
    text = content.strip(_BLANKS) if isinstance(content, str) else ""
    value = _number(text, deviations) if _NUMBER.fullmatch(text) else None
    if value is None:
        deviations.note("values that are no finite number count as absent")
    return value


def _number(text: str, deviations: Deviations) -> float | None:
    """Parse a text in the form of a number; None if its exponent makes it larger than any double.

    Raises Untrusted if it is larger than 2^53.
    """
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-").lstrip("0")
        return _checked(_MAX_EXACT + 1 if len(digits) > _MAX_DIGITS else int(text), text)
    value = float(text)
    if not isfinite(value):
        return None if "e" in text.lower() else _checked(_MAX_EXACT + 1, text)
    if abs(value) >= _MAX_EXACT and abs(Decimal(text)) > _MAX_EXACT:  # the double may be 2^53, and what is written more
        return _checked(_MAX_EXACT + 1, text)
    if not _is_exact(text, value):
        deviations.note("values have more digits than a double holds, and are rounded to the nearest one")
    return _checked(value, text)


def _is_exact(text: str, value: float) -> bool:
    if len(text) <= _EXACT_DIGITS and (abs(value) >= _MIN_EXACT or "e" not in text.lower()):
        return True
    if repr(value) == text:
        return True
    try:
        return Decimal(text) in {Decimal(value), Decimal(repr(value))}
    except InvalidOperation:  # an exponent that no decimal can have
        return False


def _checked(value: float, content: Any) -> float:
    if abs(value) > _MAX_EXACT:
        raise Untrusted(f"{quote(content)} is larger than 2^53, so it may not be exact")
    return float(value) + 0.0  # -0 becomes 0


_MAX_KEYS = 1_000
_FOLDED_ASCII = {code: chr(code).lower() if chr(code).isalnum() else None for code in range(128)}


def text_of(content: Any) -> str:
    """Return a text that every database can store: null is empty, an object is its JSON.

    NUL and lone surrogates are replaced.
    """
    if content is None:
        return ""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, sort_keys=True)
    if text.isascii() and "\0" not in text:
        return text
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
    if word.isascii():
        return word.translate(_FOLDED_ASCII)
    return "".join(character for character in word.casefold() if character.isalnum())


def member(content: Mapping[str, Any], *names: str) -> Any:
    """Return the value of the first of *names* that exists, in any case and punctuation; None if none exists.

    The exact spelling counts more than others. If several keys differ in spelling only, none of them counts. In an
    object with very many keys only the exact spelling counts, because every key would have to be compared.
    """
    for name in names:
        if name in content:
            return content[name]
        if len(content) > _MAX_KEYS:
            continue
        matches = [inner for key, inner in content.items() if folded(key) == folded(name)]
        if matches:
            return matches[0] if len(matches) == 1 else None
    return None


def sole(content: Any) -> Any:
    """Return the content of a list whose entries are all equal; otherwise *content* itself."""
    if isinstance(content, list) and content and all(entry == content[0] for entry in content):
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
_USUAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)
_USUAL_LENGTH = len("2026-03-02T00:00:00Z")
_HTTP_DATE = re.compile(
    r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2}) GMT", re.ASCII
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_JSON_NUMBER = re.compile(r"[0-9]{9,19}(?:\.0*)?", re.ASCII)
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
    if isinstance(content, str):
        usual = _from_usual(content) if len(content) == _USUAL_LENGTH else None
        return usual or _from_text(content.strip())
    return _from_number(content) if isinstance(content, int | float) and not isinstance(content, bool) else None


def parse_span(content: Any) -> tuple[datetime, datetime] | None:
    """Parse start and end: an object, a list of two, or `start/end`. None if one is unreadable or the end is first."""
    ends: Any = content.split("/") if isinstance(content, str) else content
    if isinstance(content, dict):
        ends = [member(content, *_STARTS), member(content, *_ENDS)]
    if not isinstance(ends, list) or len(ends) != 2:  # noqa: PLR2004 - a start and an end
        return None
    start, end = parse_answer_time(ends[0]), parse_answer_time(ends[1])
    return (start.at, end.at) if start and end and start.at <= end.at else None


@lru_cache(maxsize=1024)
def _from_usual(text: str) -> ParsedTime | None:
    """Parse the documented form; the ends of date ranges are the same in many answers."""
    try:
        return ParsedTime(datetime.fromisoformat(text), zoned=True) if _USUAL_TIME.fullmatch(text) else None
    except ValueError:
        return None


def _from_text(text: str) -> ParsedTime | None:
    if _JSON_NUMBER.fullmatch(text):
        return _from_number(float(text))
    http, match = _HTTP_DATE.fullmatch(text), _MOMENT.fullmatch(text)
    try:
        if http:
            return _from_http(*http.groups())
        return _from_parts(*match.groups()) if match else None
    except (ValueError, OverflowError):
        return None


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

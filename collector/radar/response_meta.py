"""Parse `result.meta` as far as it is readable.

Only another interval, or a date range without relation to the request, rejects an answer. Absent or unreadable parts
are left out and noted as deviations.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from collector.interval import AggInterval
from collector.model import RELATIVE_WORDS, UNKNOWN_LAST_UPDATED, Annotation, Meta, Normalization
from collector.radar.classify import quote
from collector.radar.errors import Coarsened, Untrusted
from collector.radar.request import series_names
from collector.radar.response_points import (
    folded,
    member,
    parse_answer_time,
    parse_number,
    parse_span,
    sole,
    text_of,
    unwrapped,
)
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.model import Batch, Window
    from collector.radar.response_deviations import Deviations

    DateRange = tuple[datetime, datetime]


_NORMALIZATIONS = {folded(word): word for word in (*(known.value for known in Normalization), *RELATIVE_WORDS)}
_KEYS = ("aggInterval", "confidenceInfo", "dateRange", "lastUpdated", "normalization", "units")
_LEVELS = range(6)
_START_AND_END = {"startTime", "endTime"}
_MAX_WORD_LENGTH = 1_000


def parse_meta(content: Any, batch: Batch, deviations: Deviations) -> Meta:
    """Parse `result.meta`. An absent word is empty, an absent lastUpdated is UNKNOWN_LAST_UPDATED.

    Raises Coarsened for another interval than that of *batch*, Untrusted for a date range that overlaps no window of
    it.
    """
    meta: Mapping[str, Any] = content if isinstance(content, dict) else {}
    if not meta:
        deviations.note("meta is absent")
    elif any(key not in meta and member(meta, key) is not None for key in _KEYS):
        deviations.note("keys of meta are spelt otherwise")
    info: Any = sole(member(meta, "confidenceInfo", "confidence"))
    if not isinstance(info, dict):
        deviations.note("meta.confidenceInfo is absent" if info is None else "meta.confidenceInfo is no object")
        info = {}
    annotations = member(info, "annotations")
    _check_interval(member(meta, "aggInterval"), batch, deviations)
    unit, unit_names = _unit(member(meta, "units", "unit"), deviations)
    return Meta(
        agg_interval=batch.agg_interval,
        last_updated=_last_updated(member(meta, "lastUpdated"), deviations),
        normalization=_normalization(sole(member(meta, "normalization")), deviations),
        unit=unit,
        confidence_level=_level(member(info, "level"), deviations),
        date_ranges=parse_date_ranges(member(meta, "dateRange"), series_names(batch), batch, deviations),
        annotations=parse_annotations(member(meta, "annotations") if annotations is None else annotations, deviations),
        unit_names=unit_names,
    )


def is_known_normalization(word: str) -> bool:
    """Return whether *word* is one of the contract's normalizations in any spelling."""
    return folded(word) in _NORMALIZATIONS


def names_interval(meta: Any) -> bool:
    """Return whether `meta.aggInterval` names the width of a bucket."""
    return isinstance(meta, dict) and seconds_of(sole(member(meta, "aggInterval"))) is not None


def _check_interval(content: Any, batch: Batch, deviations: Deviations) -> None:
    seconds = seconds_of(sole(content))
    if seconds is None:
        deviations.note("meta.aggInterval is absent" if content is None else "meta.aggInterval is an unknown word")
    elif seconds != batch.agg_interval.seconds:
        raise Coarsened(f"meta.aggInterval is {quote(content)}, but {batch.agg_interval.name} was requested")
    elif content != batch.agg_interval.name:
        deviations.note("meta.aggInterval is spelt otherwise")


def _last_updated(content: Any, deviations: Deviations) -> datetime:
    """Parse a time; of several, return the earliest if all are readable."""
    listed = content if isinstance(content, list) and content else [unwrapped(content)]
    times = [time for time in map(parse_answer_time, listed) if time]
    if len(times) < len(listed):
        deviations.note("meta.lastUpdated is absent" if content is None else "meta.lastUpdated is unreadable")
        return UNKNOWN_LAST_UPDATED
    earliest = min(times)
    if not earliest.zoned:
        deviations.note("meta.lastUpdated names no zone")
    return earliest.at


def _normalization(content: Any, deviations: Deviations) -> str:
    text = _word(content)
    if not text:
        deviations.note("meta.normalization is absent" if not content else "meta.normalization is unreadable")
    elif folded(text) not in _NORMALIZATIONS:
        deviations.note("meta.normalization is an unknown word")
    return _NORMALIZATIONS.get(folded(text), text)


def _unit(content: Any, deviations: Deviations) -> tuple[str, tuple[str, ...]]:
    """Return the value and the names of the one unit.

    Several units become `name=value, …`, so that a change of any of them starts a new series.
    """
    units = [unit for unit in map(_name_and_value, content if isinstance(content, list) else [content]) if unit[1]]
    if not units:
        deviations.note("meta.units is absent" if not content else "meta.units is unreadable")
        return "", ()
    if len({"".join(value.split()).casefold() for _, value in units}) == 1:  # not folded: that would leave nothing of %
        return units[0][1], tuple(dict.fromkeys(name for name, _ in units if name))
    return ", ".join(sorted(f"{name}={value}" for name, value in units)), ()


def _name_and_value(content: Any) -> tuple[str, str]:
    if isinstance(content, str):
        return "", _word(content)
    if not isinstance(content, dict):
        return "", ""
    if len(content) > 1 or folded(next(iter(content), "")) == "value":
        return _word(member(content, "name")), _word(member(content, "value"))
    if len(content) == 1:  # {"*": "certificates"}
        ((name, value),) = content.items()
        return _word(name), _word(value) if folded(name) != "name" else ""
    return "", ""


def _word(content: Any) -> str:
    """Return a text of reasonable length without surrounding blanks; an empty text for anything else."""
    text = text_of(content).strip() if isinstance(content, str) else ""
    return text if len(text) <= _MAX_WORD_LENGTH else ""


def _level(content: Any, deviations: Deviations) -> int | None:
    level = parse_number(content)
    if level is not None and level in _LEVELS:
        return int(level)
    if content is not None:
        deviations.note("meta.confidenceInfo.level is none of 0 to 5")
    return None


def parse_date_ranges(
    content: Any, names: Sequence[str], batch: Batch, deviations: Deviations
) -> tuple[DateRange | None, ...]:
    """Return the adjusted range of each window of *batch*, with series called *names*; None if it is unknown.

    Raises Untrusted for a range that overlaps no window.
    """
    contents = _list_ranges(content, names)
    ranges = [parse_span(entry) for entry in contents]
    windows = batch.windows
    if not any(contents):
        deviations.note("meta.dateRange is absent")
        return (None,) * len(windows)
    if any(ranges) and not all(
        entry is None or (isinstance(entry, dict) and {*entry} >= _START_AND_END) for entry in contents
    ):
        deviations.note("meta.dateRange is written in another form")
    if None in ranges:
        deviations.note("meta.dateRange is unreadable")
    if len(ranges) == len(windows):
        for date_range, window in zip(ranges, windows, strict=True):
            _check_overlap(date_range, (window,))
        return tuple(ranges)
    for date_range in ranges:
        _check_overlap(date_range, windows)
    if len(ranges) > 1:
        deviations.note("meta.dateRange has another number of ranges than series were asked for")
        return (None,) * len(windows)
    if len(set(windows)) > 1:
        deviations.note("meta.dateRange is one for several windows")
    return tuple(ranges[0] if _overlaps(ranges[0], window) else None for window in windows)


def _list_ranges(content: Any, names: Sequence[str]) -> list[Any]:
    """Return the ranges as a list: one, several, or one for each series name."""
    if isinstance(content, dict) and parse_span(content) is None:
        by_name = [member(content, name) for name in names]
        return by_name if any(by_name) else [content]
    if not isinstance(content, list) or parse_span(content) is not None:
        return [content]
    return content


def _check_overlap(date_range: DateRange | None, windows: Sequence[Window]) -> None:
    if date_range and not any(_overlaps(date_range, window) for window in windows):
        start, end = map(rfc3339, date_range)
        raise Untrusted(f"meta.dateRange is {start}..{end}, but {windows[0]} was requested")


def _overlaps(date_range: DateRange | None, window: Window) -> bool:
    return date_range is not None and date_range[0] < window.end and window.start <= date_range[1]


_MAX_ANNOTATIONS = 10_000
_MAX_TEXT_LENGTH = 65_536
_YES = frozenset({"true", "yes", "1"})


def parse_annotations(content: Any, deviations: Deviations) -> tuple[Annotation, ...]:
    """Parse `confidenceInfo.annotations`: sorted, without duplicates. Those without a readable start are left out."""
    if isinstance(content, dict) and content and all(isinstance(entry, dict) for entry in content.values()):
        content = [*content.values()]
    if content is not None and not isinstance(content, list):
        deviations.note("meta.confidenceInfo.annotations is no array")
    listed = content if isinstance(content, list) else []
    if len(listed) > _MAX_ANNOTATIONS:
        deviations.note(f"annotations beyond {_MAX_ANNOTATIONS} are left out")
    annotations = set()
    for entry in listed[:_MAX_ANNOTATIONS]:
        start = parse_answer_time(member(entry, "startDate", "start")) if isinstance(entry, dict) else None
        if start is None:
            deviations.note("annotations without a readable start are left out")
        else:
            annotations.add(_annotation(entry, start.at, deviations))
    return tuple(sorted(annotations, key=repr))


def _annotation(content: dict[str, Any], start: datetime, deviations: Deviations) -> Annotation:
    end = parse_answer_time(member(content, "endDate", "end"))
    values = {key: member(content, key) for key in ("dataSource", "eventType", "description", "linkedUrl")}
    texts = {key: None if value is None else text_of(value) for key, value in values.items()}
    if any(text and len(text) > _MAX_TEXT_LENGTH for text in texts.values()):
        deviations.note(f"texts of annotations beyond {_MAX_TEXT_LENGTH} characters are cut")
    texts = {key: text and text[:_MAX_TEXT_LENGTH] for key, text in texts.items()}
    instantaneous, tags = member(content, "isInstantaneous"), member(content, "tags")
    if isinstance(instantaneous, str):
        instantaneous = instantaneous.strip().lower() in _YES
    if not isinstance(tags, list):
        tags = [tags] if tags else []
    return Annotation(
        start_date=start,
        end_date=end.at if end else None,
        data_source=texts["dataSource"],
        event_type=texts["eventType"],
        description=texts["description"],
        linked_url=texts["linkedUrl"],
        is_instantaneous=bool(instantaneous),
        tags=tuple(sorted({text_of(tag)[:_MAX_TEXT_LENGTH] for tag in tags})),
    )


_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000}
_NUMBERS = {"one": 1, "two": 2, "five": 5, "six": 6, "ten": 10, "twelve": 12, "fifteen": 15, "thirty": 30}
_SHORT = {"s": 1, "sec": 1, "min": 60, "mins": 60, "h": 3_600, "hr": 3_600, "d": 86_400, "w": 604_800, "mo": 2_592_000}
_ADVERBS = {"hourly": 3_600, "daily": 86_400, "weekly": 604_800, "monthly": 2_592_000}
_UNITS = {**_SECONDS, **{f"{name}s": seconds for name, seconds in _SECONDS.items()}, **_SHORT}
_COUNTED = re.compile(rf"([0-9]{{1,6}}|{'|'.join(_NUMBERS)})?([a-z]+)")
_DURATION = re.compile(r"P(?:([0-9]{1,4})W|([0-9]{1,4})D)?(?:T(?:([0-9]{1,5})H)?(?:([0-9]{1,5})M)?(?:([0-9]{1,7})S)?)?")
_DURATION_UNITS = (604_800, 86_400, 3_600, 60, 1)
_PLAIN_MINUTES = re.compile(r"([0-9]{1,5}) ?m")
_KNOWN = {folded(word): interval.seconds for interval in AggInterval for word in (interval.name, interval.value)}


def seconds_of(content: object) -> int | None:
    """Return the width of a bucket in seconds that *content* names; None if it names none.

    A plain number counts as seconds if it is the width of an interval. A single capital M may mean a month.
    """
    if isinstance(content, int) and not isinstance(content, bool):
        return content if content in _KNOWN.values() else None
    if not isinstance(content, str):
        return None
    text = content.strip()
    if (known := _KNOWN.get(folded(text))) is not None:
        return known
    if text.isascii() and text.isdigit():
        return seconds_of(int(text[:10]))
    return _of_duration(text) or _counted(folded(text))


def _of_duration(text: str) -> int | None:
    """Parse `PT15M`, `P1D`, `60m`."""
    if minutes := _PLAIN_MINUTES.fullmatch(text):
        return int(minutes[1]) * 60
    duration = _DURATION.fullmatch(text)
    if duration is None:
        return None
    counts = (int(part or 0) for part in duration.groups())
    return sum(count * seconds for count, seconds in zip(counts, _DURATION_UNITS, strict=True))


def _counted(word: str) -> int | None:
    """Parse `fifteenminutes`, `1hour`, `hour`, `hourly`."""
    if word in _ADVERBS:
        return _ADVERBS[word]
    match = _COUNTED.fullmatch(word)
    if match is None or match[2] not in _UNITS:
        return None
    if match[1] is None:
        return _UNITS[match[2]] if match[2] in _SECONDS else None
    return int(_NUMBERS.get(match[1], match[1])) * _UNITS[match[2]]

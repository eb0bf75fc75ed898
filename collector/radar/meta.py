"""What an answer says of itself (`result.meta`), read as far as it goes.

Nothing here refuses an answer but another interval, and a date range that has nothing to do with what was asked. What
is absent or unreadable is left out and noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.model import UNKNOWN_LAST_UPDATED, AggInterval, Meta, Normalization, rfc3339
from collector.radar.annotations import read_annotations
from collector.radar.errors import Coarsened, Untrusted
from collector.radar.failure import quoted
from collector.radar.scalars import folded, read_number, text_of
from collector.radar.timestamps import parse_answer_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.model import Batch, Window
    from collector.radar.deviations import Deviations

    DateRange = tuple[datetime, datetime]

_WORDS = {folded(word): interval for interval in AggInterval for word in (interval.name, interval.value)}
_OTHER_WORDS = frozenset(map(folded, ("ONE_MONTH", "1mo", "1M", "5m", "FIVE_MINUTES", "ONE_MINUTE", "6h", "SIX_HOURS")))
_NORMALIZATIONS = {
    folded(word): word
    for word in (
        *(known.value for known in Normalization),
        "MIN0_MAX",
        "MIN_MAX",
        "PERCENTAGE_CHANGE",
        "ROLLING_AVERAGE",
        "OVERLAPPED_PERCENTAGE",
        "RATIO",
    )
}
_LEVELS = range(6)
_LONGEST_WORD = 1_000


def read_meta(content: Any, batch: Batch, deviations: Deviations) -> Meta:
    """Read `result.meta`; an absent word is empty, an absent lastUpdated is UNKNOWN_LAST_UPDATED.

    Coarsened for another interval than that of *batch*, Untrusted for a date range that no window of it overlaps.
    """
    meta: Mapping[str, Any] = content if isinstance(content, dict) else {}
    if not meta:
        deviations.note("meta is absent")
    info = _part(meta, "confidenceInfo", deviations)
    _check_interval(meta.get("aggInterval"), batch, deviations)
    unit, unit_names = _unit(meta.get("units"), deviations)
    return Meta(
        agg_interval=batch.agg_interval,
        last_updated=_last_updated(meta.get("lastUpdated"), deviations),
        normalization=_normalization(meta.get("normalization"), deviations),
        unit=unit,
        confidence_level=_level(info.get("level"), deviations),
        date_ranges=_date_ranges(meta.get("dateRange"), batch, deviations),
        annotations=read_annotations(info.get("annotations"), deviations),
        unit_names=unit_names,
    )


def _part(meta: Mapping[str, Any], key: str, deviations: Deviations) -> Mapping[str, Any]:
    content = meta.get(key)
    if isinstance(content, dict):
        return content
    deviations.note(f"meta.{key} is absent" if content is None else f"meta.{key} is no object")
    return {}


def is_known_normalization(word: str) -> bool:
    """Tell whether *word* is one of the contract's normalizations, however it is spelt."""
    return folded(word) in _NORMALIZATIONS


def names_interval(meta: Any) -> bool:
    """Tell whether `meta.aggInterval` is a word that says how wide buckets are."""
    return isinstance(meta, dict) and _is_interval(meta.get("aggInterval"))


def _is_interval(content: Any) -> bool:
    return isinstance(content, str) and (folded(content) in _WORDS or folded(content) in _OTHER_WORDS)


def _check_interval(content: Any, batch: Batch, deviations: Deviations) -> None:
    if not _is_interval(content):
        deviations.note("meta.aggInterval is absent" if content is None else "meta.aggInterval is an unknown word")
    elif _WORDS.get(folded(content)) != batch.agg_interval:
        raise Coarsened(f"meta.aggInterval is {quoted(content)}, asked was {batch.agg_interval.name}")
    elif content != batch.agg_interval.name:
        deviations.note("meta.aggInterval is spelt otherwise")


def _last_updated(content: Any, deviations: Deviations) -> datetime:
    moment = parse_answer_time(content)
    if moment is None:
        deviations.note("meta.lastUpdated is absent" if content is None else "meta.lastUpdated is unreadable")
        return UNKNOWN_LAST_UPDATED
    if not moment.zoned:
        deviations.note("meta.lastUpdated names no zone")
    return moment.at


def _normalization(content: Any, deviations: Deviations) -> str:
    text = _word(content)
    if not text:
        deviations.note("meta.normalization is absent" if not content else "meta.normalization is unreadable")
    elif folded(text) not in _NORMALIZATIONS:
        deviations.note("meta.normalization is an unknown word")
    return _NORMALIZATIONS.get(folded(text), text)


def _unit(content: Any, deviations: Deviations) -> tuple[str, tuple[str, ...]]:
    """Read the one unit's value and its names.

    Several are spelt `name=value, …` so that a change of any starts a new series.
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
    if "value" in content:
        return _word(content.get("name")), _word(content["value"])
    if len(content) == 1:  # {"*": "certificates"}
        ((name, value),) = content.items()
        return _word(name), _word(value) if name != "name" else ""
    return "", ""


def _word(content: Any) -> str:
    """Give a text of reasonable length without blanks around it, an empty one for anything else."""
    text = text_of(content).strip() if isinstance(content, str) else ""
    return text if len(text) <= _LONGEST_WORD else ""


def _level(content: Any, deviations: Deviations) -> int | None:
    level = read_number(content)
    if level is None and content is None:
        return None
    if level is None or level not in _LEVELS:
        deviations.note("meta.confidenceInfo.level is none of 0 to 5")
        return None
    return int(level)


def _date_ranges(content: Any, batch: Batch, deviations: Deviations) -> tuple[DateRange | None, ...]:
    found = content if isinstance(content, list) else [content]
    ranges = [_date_range(one) for one in found]
    windows = batch.windows
    if not any(found):
        deviations.note("meta.dateRange is absent")
        return (None,) * len(windows)
    if None in ranges:
        deviations.note("meta.dateRange is unreadable")
    if len(ranges) == len(windows):
        _check_overlap([(one, (window,)) for one, window in zip(ranges, windows, strict=True)])
        return tuple(ranges)
    if len(ranges) == 1:
        _check_overlap([(ranges[0], windows)])
        return _one_for_all(ranges[0], windows, deviations)
    deviations.note("meta.dateRange has another number of ranges than series were asked for")
    _check_overlap([(one, windows) for one in ranges])
    return (None,) * len(windows)


def _one_for_all(
    one: DateRange | None, windows: Sequence[Window], deviations: Deviations
) -> tuple[DateRange | None, ...]:
    """Give every window the one range, but none that it does not overlap: of those nothing is known."""
    if len(set(windows)) > 1:
        deviations.note("meta.dateRange is one for several windows")
    return tuple(one if one and _overlaps(one, window) else None for window in windows)


def _date_range(content: Any) -> DateRange | None:
    if not isinstance(content, dict):
        return None
    start, end = parse_answer_time(content.get("startTime")), parse_answer_time(content.get("endTime"))
    return (start.at, end.at) if start and end and start.at <= end.at else None


def _check_overlap(pairs: Sequence[tuple[DateRange | None, Sequence[Window]]]) -> None:
    for one, windows in pairs:
        if one and not any(_overlaps(one, window) for window in windows):
            raise Untrusted(f"meta.dateRange is {rfc3339(one[0])}..{rfc3339(one[1])}, asked was {windows[0]}")


def _overlaps(one: DateRange, window: Window) -> bool:
    return one[0] < window.end and window.start <= one[1]

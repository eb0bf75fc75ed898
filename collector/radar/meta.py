"""What an answer says of itself (`result.meta`), read as far as it goes.

Nothing here refuses an answer but another interval, and a date range that has nothing to do with what was asked. What
is absent or unreadable is left out and noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.model import RELATIVE_WORDS, UNKNOWN_LAST_UPDATED, Meta, Normalization
from collector.radar.annotations import read_annotations
from collector.radar.date_ranges import read_date_ranges
from collector.radar.errors import Coarsened
from collector.radar.failure import quoted
from collector.radar.interval_words import seconds_of
from collector.radar.query import series_names
from collector.radar.scalars import folded, member, read_number, sole, text_of, unwrapped
from collector.radar.times import ParsedTime, parse_answer_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from collector.model import Batch
    from collector.radar.deviations import Deviations

    DateRange = tuple[datetime, datetime]

_NORMALIZATIONS = {folded(word): word for word in (*(known.value for known in Normalization), *RELATIVE_WORDS)}
_KEYS = ("aggInterval", "confidenceInfo", "dateRange", "lastUpdated", "normalization", "units")
_LEVELS = range(6)
_LONGEST_WORD = 1_000


def read_meta(content: Any, batch: Batch, deviations: Deviations) -> Meta:
    """Read `result.meta`; an absent word is empty, an absent lastUpdated is UNKNOWN_LAST_UPDATED.

    Coarsened for another interval than that of *batch*, Untrusted for a date range that no window of it overlaps.
    """
    meta: Mapping[str, Any] = content if isinstance(content, dict) else {}
    if not meta:
        deviations.note("meta is absent")
    elif any(key not in meta and member(meta, key) is not None for key in _KEYS):
        deviations.note("keys of meta are spelt otherwise")
    info = _info(meta, deviations)
    annotations = member(info, "annotations")
    _check_interval(member(meta, "aggInterval"), batch, deviations)
    unit, unit_names = _unit(member(meta, "units", "unit"), deviations)
    return Meta(
        agg_interval=batch.agg_interval,
        last_updated=_last_updated(member(meta, "lastUpdated"), deviations),
        normalization=_normalization(sole(member(meta, "normalization")), deviations),
        unit=unit,
        confidence_level=_level(member(info, "level"), deviations),
        date_ranges=read_date_ranges(member(meta, "dateRange"), series_names(batch), batch, deviations),
        annotations=read_annotations(member(meta, "annotations") if annotations is None else annotations, deviations),
        unit_names=unit_names,
    )


def _info(meta: Mapping[str, Any], deviations: Deviations) -> Mapping[str, Any]:
    content = sole(member(meta, "confidenceInfo", "confidence"))
    if isinstance(content, dict):
        return content
    deviations.note("meta.confidenceInfo is absent" if content is None else "meta.confidenceInfo is no object")
    return {}


def is_known_normalization(word: str) -> bool:
    """Tell whether *word* is one of the contract's normalizations, however it is spelt."""
    return folded(word) in _NORMALIZATIONS


def names_interval(meta: Any) -> bool:
    """Tell whether `meta.aggInterval` is a word that says how wide buckets are."""
    return isinstance(meta, dict) and seconds_of(sole(member(meta, "aggInterval"))) is not None


def _check_interval(content: Any, batch: Batch, deviations: Deviations) -> None:
    seconds = seconds_of(sole(content))
    if seconds is None:
        deviations.note("meta.aggInterval is absent" if content is None else "meta.aggInterval is an unknown word")
    elif seconds != batch.agg_interval.seconds:
        raise Coarsened(f"meta.aggInterval is {quoted(content)}, asked was {batch.agg_interval.name}")
    elif content != batch.agg_interval.name:
        deviations.note("meta.aggInterval is spelt otherwise")


def _last_updated(content: Any, deviations: Deviations) -> datetime:
    moment = _earliest(content)
    if moment is None:
        deviations.note("meta.lastUpdated is absent" if content is None else "meta.lastUpdated is unreadable")
        return UNKNOWN_LAST_UPDATED
    if not moment.zoned:
        deviations.note("meta.lastUpdated names no zone")
    return moment.at


def _earliest(content: Any) -> ParsedTime | None:
    """Read a time; the earliest of several, if all can be read."""
    if not isinstance(content, list) or not content:
        return parse_answer_time(unwrapped(content))
    times = [parse_answer_time(one) for one in content]
    return min((one for one in times if one), default=None) if None not in times else None


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
    if len(content) > 1 or folded(next(iter(content), "")) == "value":
        return _word(member(content, "name")), _word(member(content, "value"))
    if len(content) == 1:  # {"*": "certificates"}
        ((name, value),) = content.items()
        return _word(name), _word(value) if folded(name) != "name" else ""
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

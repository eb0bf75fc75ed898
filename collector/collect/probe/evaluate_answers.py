"""Findings about the answers: whether they can be read, what the values mean, and where buckets start."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.probe import shape
from collector.collect.probe.observations import NOT_ASKED, Finding
from collector.interval import DEFAULT_ORIGIN, AggInterval, grid_of
from collector.model import UNKNOWN_LAST_UPDATED, is_absolute
from collector.radar.classify import quote, sanitize
from collector.radar.request import SLOTS
from collector.radar.response_meta import is_known_normalization
from collector.radar.response_points import parse_answer_time
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from collector.collect.probe.exchange import Exchange
    from collector.collect.probe.observations import Seen

_SECTION = "Answers"
_GRID = "Buckets"
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEK = timedelta(days=7)
_AS_ASKED = "as asked, with an inclusive end"


def findings_of_answers(seen: Seen) -> Iterator[Finding]:
    """Yield the findings about the first answers."""
    for agg_interval in AggInterval:
        yield _reading(agg_interval, seen.by_interval.get(agg_interval))
    first = next((exchange for exchange in seen.by_interval.values() if exchange.is_data), None)
    if first is None:
        return
    meta = shape.meta_of(first.document)
    yield _unit(meta)
    comparison = compared(seen)
    yield _comparison(comparison)
    yield _normalization(meta, comparison)
    yield _last_updated(first, meta)
    yield from _date_ranges(seen)
    yield _confidence(first, meta)
    for agg_interval, exchange in seen.by_interval.items():
        yield from _buckets(agg_interval, exchange)
    for agg_interval, exchange in seen.unaligned.items():
        yield _unaligned(agg_interval, exchange)


def _reading(agg_interval: AggInterval, exchange: Exchange | None) -> Finding:
    question, name = f"answers at {agg_interval}", f"answers_{agg_interval}"
    if exchange is None:
        return Finding(_SECTION, name, question, NOT_ASKED, "nothing is known of this interval", settled=False)
    if exchange.answer is None:
        verdict = "nothing of such answers is stored" if exchange.is_data else "nothing can be collected at it"
        return Finding(_SECTION, name, question, f"refused: {exchange.error}", verdict, settled=False, value="refused")
    count = sum(len(series.timestamps) for series in exchange.answer.series)
    if not count:
        return Finding(_SECTION, name, question, "read, without a value", "no values of late", settled=False, value=0)
    values = "1 value" if count == 1 else f"{count} values"
    return Finding(_SECTION, name, question, f"read, {values}", "can be collected", settled=True, value=count)


def _unit(meta: Mapping[str, object]) -> Finding:
    units = meta.get("units")
    answer = sanitize(_compact(units)) if units else "not named"
    meaning = "part of a series' identity" if units else "a series keeps the unit it had, or has none"
    return Finding(_SECTION, "units", "units", answer, meaning, value=units)


def _compact(units: object) -> str:
    items = units if isinstance(units, list) else [units]
    return ", ".join(_unit_text(item) if isinstance(item, dict) else str(item) for item in items)


def _unit_text(unit: Mapping[str, object]) -> str:
    """Return `name=value`, without a part that is absent."""
    parts = [unit.get("name"), unit.get("value")]
    return "=".join(str(part) for part in parts if part is not None) or "null"


def _normalization(meta: Mapping[str, object], comparison: tuple[int, int] | None) -> Finding:
    content = meta.get("normalization")
    word = content.strip() if isinstance(content, str) else ""
    question = "normalization"
    if not word:
        agrees = comparison is not None and comparison[0] == comparison[1]
        meaning = "a series keeps the one it had, else it is unknown until one is named"
        return Finding(_SECTION, question, question, "not named", meaning, settled=agrees or None)
    answer = sanitize(word)
    if is_absolute(word):
        joined = "compares across requests: history can be joined"
        return Finding(_SECTION, question, question, answer, joined, settled=True, value=word)
    if is_known_normalization(word):
        apart = "holds within one answer only: no history can be joined, each answer stands alone"
        return Finding(_SECTION, question, question, answer, apart, settled=True, value=word)
    if comparison is None:
        return Finding(
            _SECTION, question, question, answer, "an unknown word, and no two answers to compare", settled=False
        )
    agrees = comparison[0] == comparison[1]
    shown = "the values agree across requests" if agrees else "the values differ between requests: each stands alone"
    return Finding(_SECTION, question, question, answer, f"an unknown word; {shown}", settled=True, value=word)


def compared(seen: Seen) -> tuple[int, int] | None:
    """Compare the answers to a short and a long window. Returns the numbers of (equal, common) buckets.

    Returns None without two answers, or if all common values of the short window are equal, which shows nothing.
    """
    for agg_interval, longest in seen.longest.items():
        first = seen.by_interval.get(agg_interval)
        if first is None or longest is first or longest.request.batch.duration <= first.request.batch.duration:
            continue
        short, long = first.points, longest.points
        common = short.keys() & long.keys()
        if len({short[moment] for moment in common}) > 1:
            return sum(short[moment] == long[moment] for moment in common), len(common)
    return None


def _comparison(comparison: tuple[int, int] | None) -> Finding:
    name, question = "values_across_requests", "same bucket in two requests"
    if comparison is None:
        return Finding(_SECTION, name, question, "not compared", "no longer window was answered")
    equal, common = comparison
    meaning = (
        "the values do not depend on the window asked"
        if equal == common
        else "the values depend on the window asked: they are relative"
        if equal * 2 < common
        else "some values changed between two requests"
    )
    answer = f"{equal} of {common} values equal"
    return Finding(_SECTION, name, question, answer, meaning, value={"equal": equal, "common": common})


def _last_updated(first: Exchange, meta: Mapping[str, object]) -> Finding:
    content = meta.get("lastUpdated")
    moment = _moment_updated(first, content)
    name, question = "last_updated", "lastUpdated"
    if moment is None:
        words = "absent" if content is None else f"unreadable: {quote(content)}"
        return Finding(_SECTION, name, question, words, "counts as the present less an hour")
    received = first.response.received_at if first.response else first.sent_at
    lag = received - (first.clock_difference or timedelta(0)) - moment
    side = "ahead of" if lag < timedelta(0) else "behind"
    shown = sanitize(content) if isinstance(content, str) else quote(content)
    answer = f"{shown}, {minutes(abs(lag))} {side} Radar's clock"
    meaning = "ahead of Radar's own clock: it counts as the present less an hour" if lag < timedelta(0) else "the lag"
    return Finding(_SECTION, name, question, answer, meaning, value={"lag_seconds": lag.total_seconds()})


def _moment_updated(exchange: Exchange, content: object) -> datetime | None:
    """Return lastUpdated from the answer, or without an answer from *content*. Returns None if it is unknown."""
    if exchange.answer is None:
        moment = parse_answer_time(content)
        return moment.at if moment else None
    updated = exchange.answer.meta.last_updated
    return None if updated == UNKNOWN_LAST_UPDATED else updated


def _date_ranges(seen: Seen) -> Iterator[Finding]:
    """Compare `dateRange` of the first answers with the dates that were sent. `dateEnd` is inclusive."""
    intervals_by_shift: dict[str, list[AggInterval]] = {}
    for agg_interval, exchange in seen.by_interval.items():
        ranges = exchange.answer.meta.date_ranges[:1] if exchange.answer else ()
        if ranges and ranges[0]:
            window = exchange.request.batch.slices[0].window
            end = SLOTS.floor(window.end - timedelta(seconds=1))
            if ranges[0][1] == grid_of(agg_interval, window.start).floor(end):
                end = ranges[0][1]  # rounded to a bucket
            intervals_by_shift.setdefault(_shift((window.start, end), ranges[0]), []).append(agg_interval)
    if not intervals_by_shift:
        return
    usual = intervals_by_shift.keys() == {_AS_ASKED}
    parts = [f"{shift} ({', '.join(intervals)})" for shift, intervals in intervals_by_shift.items()]
    answer = _AS_ASKED if usual else "; ".join(parts)
    meaning = "" if usual else "recorded as it came; buckets outside of it are not known to be absent"
    yield Finding(_SECTION, "date_range", "dateRange", answer, meaning, value=parts)


def _shift(dates_sent: tuple[datetime, datetime], date_range: tuple[datetime, datetime]) -> str:
    """Return how far *date_range* differs from *dates_sent*, in words."""
    words = [
        f"{verb} {minutes(abs(there - sent))} {'later' if there > sent else 'earlier'} than asked"
        for verb, sent, there in zip(("begins", "ends"), dates_sent, date_range, strict=True)
        if there != sent
    ]
    return " and ".join(words) or _AS_ASKED


def minutes(span: timedelta) -> str:
    """Return *span* in words for people."""
    if abs(span) < timedelta(minutes=2):
        return f"{span.total_seconds():.0f} seconds"
    if abs(span) < timedelta(days=2):
        return f"{round(span / timedelta(minutes=1)):,} minutes"
    return f"{span / timedelta(days=1):,.1f} days"


def _confidence(first: Exchange, meta: Mapping[str, object]) -> Finding:
    info = meta.get("confidenceInfo")
    name, question = "confidence", "confidence"
    if first.answer is not None:
        level, count = first.answer.meta.confidence_level, len(first.answer.meta.annotations)
    else:
        listed = info.get("annotations") if isinstance(info, dict) else None
        count = len(listed) if isinstance(listed, list) else 0
        level = info.get("level") if isinstance(info, dict) else None
    if level is None and not count and not isinstance(info, dict):
        return Finding(_SECTION, name, question, "absent", "no confidence level and no annotation is stored")
    answer = f"{'no level' if level is None else f'level {quote(level)}'}, {count} annotations"
    return Finding(_SECTION, name, question, answer, value={"level": level, "annotations": count})


def _buckets(agg_interval: AggInterval, exchange: Exchange) -> Iterator[Finding]:
    points = exchange.points
    if not points:
        return
    offsets = shape.phases(points, agg_interval.step, DEFAULT_ORIGIN)
    begin = ", ".join(_phase(agg_interval, seconds) for seconds in offsets[:3]) + (" …" if len(offsets) > 3 else "")  # noqa: PLR2004 - as shown
    if offsets == [0]:
        meaning, settled = "the usual grid", True
    elif len(offsets) == 1:
        settled = exchange.answer is not None
        learned = "the collector has learned it" if settled else "a later answer has to confirm it"
        meaning = f"another grid than the usual one: {learned}"
    else:
        meaning, settled = "several grids in one answer: refused", False
    name, question = f"grid_{agg_interval}", f"{agg_interval} buckets begin"
    yield Finding(_GRID, name, question, begin, meaning, settled=settled, value={"offsets_seconds": offsets})
    yield _newest(agg_interval, exchange, from_epoch(max(points)))


def _phase(agg_interval: AggInterval, seconds: int) -> str:
    """Return where a bucket starts inside its unit: the second, the time of day, or the weekday and time."""
    start = DEFAULT_ORIGIN + timedelta(seconds=seconds)
    if agg_interval.step < timedelta(days=1):
        return f"at {seconds} s past each {agg_interval.properties.unit}" if seconds else "on the full bucket"
    time = "midnight UTC" if start.time() == DEFAULT_ORIGIN.time() else f"{start:%H:%M:%S} UTC"
    return time if agg_interval.step < _WEEK else f"on {_WEEKDAYS[start.weekday()]} {time}"


def _newest(agg_interval: AggInterval, exchange: Exchange, newest: datetime) -> Finding:
    name, question = f"newest_{agg_interval}", f"newest {agg_interval} bucket"
    updated = parse_answer_time(shape.meta_of(exchange.document).get("lastUpdated"))
    end = newest + agg_interval.step
    if updated is None:
        return Finding(_GRID, name, question, f"begins {rfc3339(newest)}", value={"start": rfc3339(newest)})
    if end > updated.at:
        answer, meaning = "unfinished at lastUpdated", "partial buckets come: they are not stored until they are whole"
    else:
        answer, meaning = "closed at lastUpdated", "unfinished buckets are left out"
    distance = minutes(abs(updated.at - end))
    answer += f" ({rfc3339(newest)}, its end {distance} {'after' if end > updated.at else 'before'} it)"
    return Finding(
        _GRID, name, question, answer, meaning, value={"start": rfc3339(newest), "partial": end > updated.at}
    )


def _unaligned(agg_interval: AggInterval, exchange: Exchange) -> Finding:
    name, question = f"unaligned_{agg_interval}", f"{agg_interval} asked from within a bucket"
    points = exchange.points
    if not points:
        answer = str(exchange.error) if exchange.error else "no values"
        return Finding(_GRID, name, question, answer, "the collector asks on the grid only")
    start = exchange.request.batch.slices[0].window.start
    width = agg_interval.seconds
    offsets = {(moment - int(start.timestamp())) % width for moment in points}
    if offsets == {0}:
        answer, meaning = "buckets begin where the window begins", "there is no grid: the collector asks on its own"
    elif len(offsets) == 1:
        answer, meaning = "buckets stay on their grid", "the grid does not depend on the question"
    else:
        answer, meaning = "the first bucket is cut at the window's start", "the collector asks on the grid only"
    return Finding(_GRID, name, question, answer, meaning, value={"offsets_seconds": sorted(offsets)})

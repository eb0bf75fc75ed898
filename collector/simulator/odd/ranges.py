"""Variations of dateRange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.simulator.odd.spelling import formatted
from collector.simulator.odd.variation import Draft, Variation, epoch, on_meta, without_meta
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.simulator.odd.variation import Verdict

    Span = tuple[int, int]

_DAY = 86_400


def _adjusted(adjust: Callable[[Draft, int], Span]) -> Callable[[Draft], None]:
    """Return a change that replaces the range of each position by other moments, in epoch seconds."""

    def change(draft: Draft) -> None:
        spans = [adjust(draft, position) for position in range(len(draft.request.series))]
        draft.meta["dateRange"] = [
            {"startTime": rfc3339(from_epoch(start)), "endTime": rfc3339(from_epoch(end))} for start, end in spans
        ]

    return change


def _asked(draft: Draft, position: int) -> Span:
    return draft.request.series[position].start, draft.request.series[position].end


def _exact(draft: Draft, position: int) -> Span:
    return draft.request.series[position].start, draft.request.series[position].dates.end


def _to(moment: Callable[[Draft], int]) -> Callable[[Draft, int], Span]:
    """Return ranges that end no later than a moment, and no earlier than their start."""

    def adjust(draft: Draft, position: int) -> Span:
        start, end = _asked(draft, position)
        return start, max(start, min(end, moment(draft)))

    return adjust


def _to_data(draft: Draft, position: int) -> Span:
    """Return the range from the first bucket to the last one."""
    requested = draft.request.series[position]
    moments, _ = draft.honest(requested.query, requested.start, requested.end)
    return (moments[0], moments[-1]) if moments else (requested.start, requested.end)


def _outward(draft: Draft, position: int) -> Span:
    start, end = _asked(draft, position)
    return start // _DAY * _DAY, -(-end // _DAY) * _DAY


def _elsewhere(draft: Draft, position: int) -> Span:
    start, end = _asked(draft, position)
    return start - 4_000 * _DAY, end - 4_000 * _DAY


def _spelt(spell: Callable[[int], Any]) -> Callable[[list[dict[str, str]]], Any]:
    return lambda ranges: [{key: spell(epoch(text)) for key, text in one.items()} for one in ranges]


def _renamed(start: str, end: str) -> Callable[[list[dict[str, str]]], Any]:
    return lambda ranges: [{start: one["startTime"], end: one["endTime"]} for one in ranges]


def _by_name(draft: Draft) -> None:
    draft.meta["dateRange"] = dict(zip(draft.names, draft.meta["dateRange"], strict=True))


def _one_for_all(draft: Draft) -> None:
    """Write one range for all windows together."""
    spans = [_asked(draft, position) for position in range(len(draft.request.series))]
    start, end = min(start for start, _ in spans), max(end for _, end in spans)
    draft.meta["dateRange"] = [{"startTime": rfc3339(from_epoch(start)), "endTime": rfc3339(from_epoch(end))}]


_RANGES: tuple[tuple[str, str, Verdict, Callable[[Draft], object]], ...] = (
    ("exclusive", "ending where the last bucket ends", "take", _adjusted(_asked)),
    ("asked", "ending at the moment asked for", "take", _adjusted(_exact)),
    ("to-data", "from the first bucket to the last one", "take", _adjusted(_to_data)),
    ("to-updated", "ending at lastUpdated", "take", _adjusted(_to(lambda draft: draft.last_updated))),
    ("to-now", "ending at the present", "take", _adjusted(_to(lambda draft: draft.now))),
    ("outward", "rounded outward to whole days", "take", _adjusted(_outward)),
    ("one", "of all series together", "take", _one_for_all),
    ("milliseconds", "with milliseconds", "take", on_meta("dateRange", _spelt(formatted("%Y-%m-%dT%H:%M:%S.000Z")))),
    ("naive", "without a zone", "take", on_meta("dateRange", _spelt(formatted("%Y-%m-%dT%H:%M:%S")))),
    ("epoch", "in seconds since 1970", "take", on_meta("dateRange", _spelt(int))),
    ("snake", "with start_time and end_time", "take", on_meta("dateRange", _renamed("start_time", "end_time"))),
    ("dates", "with startDate and endDate", "take", on_meta("dateRange", _renamed("startDate", "endDate"))),
    ("start-end", "with start and end", "take", on_meta("dateRange", _renamed("start", "end"))),
    (
        "text",
        "as ISO 8601 writes intervals",
        "take",
        on_meta("dateRange", lambda ranges: [f"{one['startTime']}/{one['endTime']}" for one in ranges]),
    ),
    (
        "pairs",
        "as lists of two moments",
        "take",
        on_meta("dateRange", lambda ranges: [[one["startTime"], one["endTime"]] for one in ranges]),
    ),
    ("by-name", "as an object with one range for each series", "take", _by_name),
    ("absent", "absent", "take", without_meta("dateRange")),
    ("null", "null", "take", on_meta("dateRange", lambda _: None)),
    ("empty", "an empty list", "take", on_meta("dateRange", lambda _: [])),
    ("nulls", "a list of nulls", "leave out", on_meta("dateRange", lambda ranges: [None for _ in ranges])),
    ("words", "words", "leave out", on_meta("dateRange", lambda _: "since yesterday")),
    ("backwards", "ending before it starts", "leave out", on_meta("dateRange", _renamed("endTime", "startTime"))),
    ("one-more", "with one more than series", "leave out", on_meta("dateRange", lambda ranges: [*ranges, ranges[-1]])),
    ("elsewhere", "of ten years before", "refuse", _adjusted(_elsewhere)),
)


def _object(draft: Draft) -> None:
    draft.meta["dateRange"] = draft.meta["dateRange"][0]


RANGES = (
    *(
        Variation(f"range-{name}", "dateRange", f"dateRange {line}", verdict, "meta.dateRange", change)
        for name, line, verdict, change in _RANGES
    ),
    Variation(
        "range-object", "dateRange", "dateRange as an object, of the first series", "take", "meta.dateRange", _object
    ),
)

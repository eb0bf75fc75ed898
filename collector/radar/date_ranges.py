"""What an answer says of the ranges that it covers (`meta.dateRange`): recorded as it came, where it can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.model import rfc3339
from collector.radar.errors import Untrusted
from collector.radar.scalars import member
from collector.radar.times import parse_span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.model import Batch, Window
    from collector.radar.deviations import Deviations

    DateRange = tuple[datetime, datetime]


def read_date_ranges(
    content: Any, names: Sequence[str], batch: Batch, deviations: Deviations
) -> tuple[DateRange | None, ...]:
    """Return the adjusted range of each window of *batch*, whose series are called *names*; None where it is not known.

    Raises Untrusted for a range that no window overlaps.
    """
    found = _listed(content, names)
    ranges = [parse_span(one) for one in found]
    windows = batch.windows
    if not any(found):
        deviations.note("meta.dateRange is absent")
        return (None,) * len(windows)
    if any(ranges) and not all(one is None or _is_usual(one) for one in found):
        deviations.note("meta.dateRange is written in another form")
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


def _is_usual(content: Any) -> bool:
    return isinstance(content, dict) and "startTime" in content and "endTime" in content


def _listed(content: Any, names: Sequence[str]) -> list[Any]:
    """Return the ranges as a list: one, several, or one below the name of each series."""
    if isinstance(content, dict) and parse_span(content) is None:
        by_name = [member(content, name) for name in names]
        return by_name if any(by_name) else [content]
    if not isinstance(content, list) or parse_span(content) is not None:
        return [content]
    return content


def _one_for_all(
    one: DateRange | None, windows: Sequence[Window], deviations: Deviations
) -> tuple[DateRange | None, ...]:
    """Give every window the one range, but none that it does not overlap: of those nothing is known."""
    if len(set(windows)) > 1:
        deviations.note("meta.dateRange is one for several windows")
    return tuple(one if one and _overlaps(one, window) else None for window in windows)


def _check_overlap(pairs: Sequence[tuple[DateRange | None, Sequence[Window]]]) -> None:
    for one, windows in pairs:
        if one and not any(_overlaps(one, window) for window in windows):
            raise Untrusted(f"meta.dateRange is {rfc3339(one[0])}..{rfc3339(one[1])}, asked was {windows[0]}")


def _overlaps(one: DateRange, window: Window) -> bool:
    return one[0] < window.end and window.start <= one[1]

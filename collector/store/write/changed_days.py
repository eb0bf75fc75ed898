"""What answers change in the rows of days: pure comparison, see `days`."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from collector.store.series import days
from collector.store.series.days import DAY, DayRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.model import Points
    from collector.store.series.days import Key
    from collector.store.write.diff import Difference, StoredValue
    from collector.windows import EpochWindow


class AnsweredDays(NamedTuple):
    """By an answer about a window: the *rows* of days that are whole in it, and the days that have points beside them.

    A day without points is in neither.
    """

    whole: range
    rows: Sequence[DayRow]
    partial: Collection[int]


@dataclass(frozen=True, slots=True)
class ChangedDays:
    """The rows that are *kept* so far, the *rows* to write, and the *stale* days, of which no row holds any more.

    A day of a series is (series_id, day).
    """

    kept: Mapping[Key, DayRow]
    rows: list[DayRow] = field(default_factory=list)
    stale: list[Key] = field(default_factory=list)


def answered_days(series_id: int, answered: Points, window: EpochWindow) -> AnsweredDays:
    """Return what an answer about *window* has of days."""
    whole, timestamps = days.days_of(*window), answered.timestamps
    first, last = (bisect_left(timestamps, edge) for edge in (whole.start, whole.stop)) if whole else (0, 0)
    rows = list(days.of_points(series_id, timestamps[first:last], answered.values[first:last])) if whole else []
    return AnsweredDays(whole, rows, {t // DAY * DAY for t in (*timestamps[:first], *timestamps[last:])})


def unchanged_days(answered: Iterable[AnsweredDays], kept: Mapping[Key, DayRow]) -> set[int]:
    """Return the whole days whose points are, by their row, those that are stored."""
    return {row.day for part in answered for row in part.rows if kept.get(row.key) == row}


def add_changes(  # noqa: PLR0913, PLR0917 - what the rows follow from
    changed: ChangedDays,
    series_id: int,
    answered: Sequence[AnsweredDays],
    differences: Sequence[Difference],
    stored: Mapping[int, StoredValue],
    now: datetime,
) -> None:
    """Add what becomes of the days of one series.

    *stored* are its points before, in all windows of its answers. They may be left out if no answer differs from them.
    """
    if stored:
        rows, partial = _after(series_id, answered, differences, stored, changed.kept)
    else:
        rows = [*{row.key: row for part in answered for row in part.rows}.values()]  # because windows may overlap
        brought = any(difference.inserted for difference in differences)
        partial = {day for part in answered for day in part.partial} if brought else set()
    over = [row for row in rows if days.is_over(row.day, now)]
    changed.rows.extend(row for row in over if changed.kept.get(row.key) != row)
    changed.stale.extend(row.key for row in rows[len(over) :])
    changed.stale.extend((series_id, day) for day in sorted(partial))


def _after(
    series_id: int,
    answered: Sequence[AnsweredDays],
    differences: Iterable[Difference],
    stored: Mapping[int, StoredValue],
    kept: Mapping[Key, DayRow],
) -> tuple[list[DayRow], set[int]]:
    """Return the rows that whole days get which are written to or have none, and the other days that are written to."""
    written: dict[int, float] = {}
    for difference in differences:
        written |= difference.inserted
        written |= {revision.timestamp: revision.value for revision in difference.revised}
    touched = {timestamp // DAY * DAY for timestamp in written}
    without = {row.day for part in answered for row in part.rows if row.key not in kept}
    whole = {day for day in touched if any(day in part.whole for part in answered)} | without
    values = {timestamp: value for timestamp, (value, _) in stored.items() if timestamp // DAY * DAY in whole}
    values |= {timestamp: value for timestamp, value in written.items() if timestamp // DAY * DAY in whole}
    timestamps = sorted(values)
    return list(days.of_points(series_id, timestamps, [values[t] for t in timestamps])), touched - whole

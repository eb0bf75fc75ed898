"""Save the groups of an answer: of each what is new, revised or gone, and what the answer left beside them.

A group that an answer does not list is absent only where the answer left nothing beside its groups. Everywhere else
its stored values stay as they are, because the list of the largest groups depends on the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.model import GroupedPoints
from collector.store.checksums import answered_range, checksum
from collector.store.ledger.fetches import SaveResult
from collector.store.series import days, groups, identity, remainders
from collector.store.series.coverage import AnsweredWindow
from collector.store.series.remainders import Seen
from collector.store.write import points
from collector.store.write.diff import Difference, diff, written
from collector.store.write.points import NewPoints
from collector.windows import SeriesWindow, join_buckets, merge

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import sqlalchemy as sa

    from collector.model import Question
    from collector.store.ledger.fetches import ReceivedAnswer
    from collector.windows import EpochWindow


class Scope(NamedTuple):
    """Where an answer counts: the windows that it covers, and those in which newer answers *overrule* it."""

    spoken: Sequence[EpochWindow]
    overruled: Sequence[EpochWindow]


@dataclass(frozen=True, slots=True)
class GroupsSaved:
    """What one answer changed in groups: *counts* by the series_id of their sum, and the *windows* it answered.

    *changed* has the buckets in which a value of a group was replaced, vanished or came back, by the same series_id.
    """

    counts: Mapping[int, SaveResult] = field(default_factory=dict)
    windows: Sequence[AnsweredWindow] = ()
    changed: Mapping[int, Collection[int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Part:
    """What an answer has of one question with groups: its *windows* with the API's own range, and their points."""

    query: Question
    windows: list[tuple[EpochWindow, tuple[Any, Any]]] = field(default_factory=list)
    answered: list[GroupedPoints] = field(default_factory=list)

    @property
    def spans(self) -> list[EpochWindow]:
        """The windows, merged."""
        return merge(window for window, _ in self.windows)

    @property
    def names(self) -> list[str]:
        """The groups that the answer lists."""
        return list(dict.fromkeys(name for part in self.answered for name in part.groups))

    def values(self, name: str) -> dict[int, float]:
        """The values of a group by timestamp."""
        listed = (part.groups[name] for part in self.answered if name in part.groups)
        return {
            t: v
            for series_points in listed
            for t, v in zip(series_points.timestamps, series_points.values, strict=True)
        }

    def complete(self, scope: Scope) -> list[EpochWindow]:
        """The runs of buckets in which a group has nothing if it is absent."""
        step = self.query.agg_interval.seconds
        buckets = sorted(t for part in self.answered for t in part.timestamps if t not in part.remainders)
        return [run for run in join_buckets(buckets, step) if any(a < run[1] and run[0] < b for a, b in scope.spoken)]


def save(
    connection: sa.Connection, arrival: ReceivedAnswer, ids: Mapping[Question, int], scopes: Mapping[int, Scope]
) -> GroupsSaved:
    """Save the groups of an answer whose sums are saved. Values that are relative to one answer are not stored."""
    counts, windows, changed = {}, [], {}
    for series_id, part in _parts(arrival, ids).items() if arrival.absolute else ():
        known = groups.resolve(connection, part.query, series_id, part.names, arrival.now)
        differences = _compare(connection, part, known, scopes[series_id])
        _write(connection, arrival, differences)
        left = {t: answered.remainders.get(t) for answered in part.answered for t in answered.timestamps}
        overruled = scopes[series_id].overruled
        counting = {t: rest for t, rest in left.items() if not any(a <= t < b for a, b in overruled)}
        remainders.write(connection, series_id, counting, Seen(arrival.fetch_id, arrival.now))
        counts[series_id] = _counted(differences)
        changed[series_id] = {t for difference in differences.values() for t in difference.changed}
        windows += _answered(arrival, part, differences, is_overruled=_is_overruled(part, overruled))
    return GroupsSaved(counts, windows, changed)


def _parts(arrival: ReceivedAnswer, ids: Mapping[Question, int]) -> dict[int, _Part]:
    parts: dict[int, _Part] = {}
    slices = zip(arrival.batch.slices, arrival.answer.series, arrival.answer.meta.date_ranges, strict=True)
    for slice_, series_points, date_range in slices:
        if isinstance(series_points, GroupedPoints):
            part = parts.setdefault(ids[slice_.series], _Part(slice_.series))
            window = int(slice_.window.start.timestamp()), int(slice_.window.end.timestamp())
            part.windows.append((window, date_range or (None, None)))
            part.answered.append(series_points)
    return parts


def _compare(connection: sa.Connection, part: _Part, known: Mapping[str, int], scope: Scope) -> dict[int, Difference]:
    """Compare the groups of an answer with what is stored of all groups in its windows."""
    spans = [SeriesWindow(series_id, *span) for series_id in known.values() for span in part.spans]
    stored, gone = points.read(connection, spans), points.read_vanished(connection, spans)
    complete = part.complete(scope)
    differences = {}
    for name, series_id in known.items():
        values = part.values(name)
        differences[series_id] = diff(
            stored.get(series_id, {}), values, gone.get(series_id, ()), scope.overruled, complete
        )
    return differences


def _write(connection: sa.Connection, arrival: ReceivedAnswer, differences: Mapping[int, Difference]) -> None:
    fetch_id, each = arrival.fetch_id, differences.items()
    days.change_points(connection, {i: [*d.inserted, *(replaced[0] for replaced in d.revised)] for i, d in each})
    points.insert(connection, [NewPoints(i, fetch_id, difference.inserted) for i, difference in each])
    if revised := [(i, *replaced) for i, d in each for replaced in d.revised]:
        points.revise(connection, revised, fetch_id, arrival.now)
    if vanished := [(i, t) for i, d in each for t in d.vanished]:
        points.set_vanished(connection, vanished, fetch_id, arrival.now)
    if returned := [(i, t) for i, d in each for t in d.returned]:
        points.clear_vanished(connection, returned)
    identity.count_points(connection, {i: len(difference.inserted) for i, difference in each})


def _counted(differences: Mapping[int, Difference]) -> SaveResult:
    counts = (
        SaveResult(len(d.inserted), len(d.revised), d.unchanged, len(d.vanished), d.ignored)
        for d in differences.values()
    )
    return sum(counts, SaveResult())


def _is_overruled(part: _Part, overruled: Sequence[EpochWindow]) -> bool:
    return any(start < b and a < end for a, b in overruled for start, end in part.spans)


def _answered(
    arrival: ReceivedAnswer, part: _Part, differences: Mapping[int, Difference], *, is_overruled: bool
) -> list[AnsweredWindow]:
    """Return the windows that the answer covers, for every known group, with the checksums of what it wrote there."""
    windows: dict[tuple[int, int], AnsweredWindow] = {}
    for (start, end), times in part.windows:
        for series_id, difference in differences.items():
            answered = answered_range(series_id, arrival.fetch_id, start, end, times)
            checked = checksum(answered, *written(difference, start, end))
            windows[series_id, end] = AnsweredWindow(
                series_id, arrival.fetch_id, start, end, times, checked, is_overruled
            )
    return list(windows.values())

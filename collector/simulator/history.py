"""The simulated history at a moment: its extent, its changes, its normalization, its annotations.

Moments are epoch seconds; `now` is the server's clock. Each change takes effect from server time *since* up to *until*.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from collector.contract.request_parser import floor
from collector.contract.response import SLOT
from collector.datasets import dataset_of
from collector.interval import AggInterval
from collector.model import Annotation, Window
from collector.simulator import values
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from collector.datasets import Dataset
    from collector.model import Question
    from collector.simulator.options import SimulatorOptions

_COARSE = timedelta(days=1)
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class GapChange:
    """No series has the buckets that are wholly inside *window*; a wider bucket loses the part inside it."""

    window: Window
    since: float = -math.inf
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class RevisionChange:
    """Every series counts *add* more in each 15-minute slot of *window*, but never less than zero."""

    window: Window
    add: int
    since: float = -math.inf
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class WithdrawalChange:
    """No answer has the annotation."""

    annotation: Annotation
    since: float = -math.inf
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class NormalizationChange:
    """Answers have another normalization or unit; None keeps the previous one."""

    normalization: str | None = None
    unit: str | None = None
    since: float = -math.inf
    until: float = math.inf


Change = GapChange | RevisionChange | WithdrawalChange | NormalizationChange
_Kind = TypeVar("_Kind", GapChange, RevisionChange, WithdrawalChange, NormalizationChange)


@dataclass(frozen=True, slots=True)
class Counts:
    """Whole-number values of one series; *timestamps* ascend, and are a `range` if there is no gap."""

    timestamps: Sequence[int]
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Scale:
    """The normalization and the unit of an answer."""

    normalization: str
    unit: str


class SimulatedHistory:
    """The history that *options* describe, with the scripted *changes* in force. *changes* may grow later."""

    def __init__(self, options: SimulatorOptions, changes: Sequence[Change]) -> None:
        self._options = options
        self._changes = changes
        lives = ((value, _day(life.start), _day(life.end)) for value, life in options.lives.items())
        self.population = values.Population(tuple(options.more_values.items()), tuple(lives))

    def last_updated(self, now: float) -> int:
        """Return the moment up to which the data is complete, on the 15-minute grid."""
        return floor(now - self._options.lag.total_seconds(), SLOT)

    def scale(self, now: float, dataset: Dataset) -> Scale:
        """Return the normalization and the unit in force."""
        scale = Scale(self._options.normalization, self._options.unit or dataset.unit)
        for change in self._in_force(NormalizationChange, now):
            scale = Scale(change.normalization or scale.normalization, change.unit or scale.unit)
        return scale

    def annotations(self, window: Window, now: float) -> list[Annotation]:
        """Return the annotations of *window*. A generated one is published when the trouble in it has ended."""
        withdrawn = {change.annotation for change in self._in_force(WithdrawalChange, now)}
        return [a for a in self._candidates(window, now) if concerns(a, window) and a not in withdrawn]

    def counts(self, query: Question, start: int, end: int, now: float) -> Counts:
        """Return the counts of the published buckets from *start* up to *end*, both on the query's grid."""
        step = query.agg_interval.seconds
        begins = self.begins(query.filters, now)
        if begins is not None:
            start = max(start, floor(begins, step, start))
        end = min(end, self._end(query.agg_interval, start, now))
        if start >= end:
            return Counts(range(0), ())
        slots, width = self._slots(query, start, end, now), step // SLOT
        sums = slots if width == 1 else [sum(slots[at : at + width]) for at in range(0, len(slots), width)]
        return self._without_holes(Counts(range(start, end, step), sums), step, now)

    def begins(self, filters: Mapping[str, tuple[str, ...]], now: float) -> float | None:
        """Return the moment from which there is data for *filters*; None if there always is."""
        options = self._options
        beginnings = [] if options.data_since is None else [options.data_since.timestamp()]
        if options.retention is not None:
            beginnings.append(floor(now - options.retention.total_seconds(), _DAY))
        filter_values = {value for listed in filters.values() for value in listed}
        beginnings += [began.timestamp() for value, began in options.began.items() if value in filter_values]
        return max(beginnings, default=None)

    def _end(self, interval: AggInterval, edge: int, now: float) -> int:
        """Return the end of the published buckets: the last closed one, or the partial one after it.

        One bucket starts at *edge*.
        """
        updated, step = self.last_updated(now), interval.seconds
        how = self._options.unfinished_coarse if interval.step >= _COARSE else self._options.unfinished
        return floor(updated, step, edge) + (step if how == "partial" else 0)

    def _slots(self, query: Question, start: int, end: int, now: float) -> list[int]:
        options, dataset, filters = self._options, dataset_of(query), query.filters
        if options.unknown_names == "zero":
            known = dataset.filters
            filters = {
                n: tuple(v for v in listed if values.is_known(known[n], v, self.population))
                for n, listed in filters.items()
            }
        revised_for = int(options.revised_for.total_seconds())
        synthetic = values.SyntheticCounts(options.seed, revised_for, dataset, self.population)
        slots = synthetic.slots(filters, start, end, self.last_updated(now))
        for revision in self._in_force(RevisionChange, now):
            for at in _slots_within(revision.window.start, revision.window.end, start, end):
                slots[at] = max(0, slots[at] + revision.add)
        for hole in self._in_force(GapChange, now):
            for at in _slots_within(hole.window.start, hole.window.end, start, end):
                slots[at] = 0
        begins = self.begins(filters, now)
        if begins is not None:
            for at in _slots_within(from_epoch(start), from_epoch(begins), start, end):
                slots[at] = 0
        return slots

    def _without_holes(self, counts: Counts, step: int, now: float) -> Counts:
        holes = [
            (hole.window.start.timestamp(), hole.window.end.timestamp()) for hole in self._in_force(GapChange, now)
        ]
        if not holes:
            return counts
        kept = [
            (moment, value)
            for moment, value in zip(counts.timestamps, counts.values, strict=True)
            if not any(start <= moment and moment + step <= end for start, end in holes)
        ]
        return Counts([moment for moment, _ in kept], [value for _, value in kept])

    def _candidates(self, window: Window, now: float) -> Iterable[Annotation]:
        if self._options.annotations is not None:
            return self._options.annotations
        moment, since = from_epoch(now), self._options.ongoing_since
        made = [a for a in generated(self._options.seed, window) if a.end_date is None or a.end_date <= moment]
        return [ongoing(since), *made] if since is not None and since <= moment else made

    def _in_force(self, kind: type[_Kind], now: float) -> Iterator[_Kind]:
        return (change for change in self._changes if isinstance(change, kind) and change.since <= now < change.until)


def _day(moment: datetime) -> int:
    return int(moment.timestamp() // _DAY)


def _slots_within(first: datetime, last: datetime, start: int, end: int) -> range:
    """Return the positions, counted from *start*, of the slots between two moments."""
    low = max(start, -floor(-first.timestamp(), SLOT))
    return range((low - start) // SLOT, (min(end, floor(last.timestamp(), SLOT)) - start) // SLOT)


_TROUBLE = (
    ("PIPELINE", "Delayed ingestion from several certificate transparency logs"),
    ("OUTAGE", "A large log refused submissions"),
    ("TRAFFIC_ANOMALY", "Unusually many certificates of one authority"),
)
_URL = "https://radar.cloudflare.com/certificate-transparency"


def ongoing(since: datetime) -> Annotation:
    """Return an annotation without an end."""
    text = "Logs of the static API are counted from here on"
    return Annotation(since, None, "CT", "GENERAL", text, _URL, is_instantaneous=False, tags=("LOG_API",))


def generated(seed: int, window: Window) -> Iterator[Annotation]:
    """Yield the annotations that begin in *window* or up to a week before it, by week."""
    week = AggInterval.ONE_WEEK.floor(window.start) - timedelta(weeks=1)
    while week < window.end:
        digest = hashlib.blake2b(f"{seed}/annotation/{week.isoformat()}".encode(), digest_size=4).digest()
        yield _of_week(week, *digest)
        week += timedelta(weeks=1)


def _of_week(week: datetime, kind: int, day: int, hour: int, length: int) -> Annotation:
    start = week + timedelta(days=day % 6, hours=hour % 24, minutes=15 * (length % 4))
    if kind % 3 == 0:
        text = "A new log became usable"
        return Annotation(start, start, "CT", "GENERAL", text, _URL, is_instantaneous=True)
    event_type, text = _TROUBLE[kind // 3 % len(_TROUBLE)]
    end = start + timedelta(minutes=15 * (4 + length % 90))
    return Annotation(start, end, "CT", event_type, text, _URL, is_instantaneous=False)


def concerns(annotation: Annotation, window: Window) -> bool:
    """Return whether the annotation and *window* share more than an edge."""
    if annotation.is_instantaneous:
        return window.start <= annotation.start_date < window.end
    return annotation.start_date < window.end and (annotation.end_date is None or annotation.end_date > window.start)

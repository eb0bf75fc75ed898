"""Gaps, and the reasons why a range cannot be answered: absent buckets, or a snapshot that does not cover it.

A bucket is absent if Radar has published it, as far as is known, and it is not stored. A bucket that is not published
yet is not absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from collector.contract.request_parser import floor
from collector.datasets import is_snapshot
from collector.profile import on_grids
from collector.store import ExpectedWindow
from collector.timestamps import from_epoch, rfc3339
from collector.windows import absent_windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from collector.contract.request_parser import SeriesRequest
    from collector.interval import AggInterval
    from collector.model import Window
    from collector.profile import LabelledSeries, Profile
    from collector.store import GapWindow, ProfileStatus, Reader, ReadView, SelectedSeries, Snapshot
    from collector.windows import EpochWindow


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive absent buckets of a series; *reason*: `missing`, or `upstream` if Radar is proven to lack them."""

    profile: str
    series: str
    start: datetime
    end: datetime
    buckets: int
    reason: str


async def find_gaps(store: Reader, profiles: Sequence[Profile], now: datetime) -> list[Gap]:
    """Return the gaps of *profiles*, profile by profile, from one consistent state of the store."""

    def work(view: ReadView) -> list[Gap]:
        placed = on_grids(profiles, view.grids())
        return gaps_of_profiles(view, placed, view.status_rows(placed), now)

    return await store.with_read_view(work)


def gaps_of_profiles(
    store: ReadView, profiles: Sequence[Profile], rows: Sequence[ProfileStatus], now: datetime
) -> list[Gap]:
    """Return the gaps of all series of *profiles* up to what Radar has published at *now*, by profile, ascending.

    *rows* is the status of the same profiles. A series that is complete by its count is skipped. A series with values
    that are relative to one answer has no gaps, because a second answer could not be joined to the first.
    """
    queries = [series.query for profile in profiles for series in profile.series]
    stored, whole = store.extents(queries), store.complete_extents(queries)
    relative = store.relative_queries(queries)
    asked, expected = [], []
    for profile, row in zip(profiles, rows, strict=True):
        published = now - row.ahead - profile.publication_delay - row.behind
        for series in profile.series:
            if is_snapshot(series.query):  # a snapshot has no gaps
                continue
            within = profile.expected(stored.get(series.query), published)
            if within and series.query not in relative and not _is_inside(within, whole.get(series.query)):
                asked.append((profile, series))
                expected.append(ExpectedWindow(series.query, within, profile.settle))
    found = store.find_gaps(expected)
    return [
        _gap(profile, series, hole) for (profile, series), holes in zip(asked, found, strict=True) for hole in holes
    ]


def _gap(profile: Profile, series: LabelledSeries, hole: GapWindow) -> Gap:
    buckets = hole.window.duration // profile.agg_interval.step
    return Gap(profile.name, series.label, hole.window.start, hole.window.end, buckets, hole.reason)


def _is_inside(within: Window, whole: Window | None) -> bool:
    return whole is not None and whole.start <= within.start and within.end <= whole.end


ABSENT_HEADER = "X-Absent-Buckets"
ABSENT_CODE = 2100
"""The code of a message about absent buckets, in `messages` of an answer."""
MAX_RUNS = 24
"""So many runs are listed, of all series of an answer together; the others are counted."""
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class AbsentBuckets:
    """The buckets of *agg_interval* that the answer lacks for the series *name*: *runs* [start, end), ascending."""

    name: str
    agg_interval: AggInterval
    runs: tuple[EpochWindow, ...]

    @property
    def buckets(self) -> int:
        """Their number."""
        return sum(end - start for start, end in self.runs) // self.agg_interval.seconds


@dataclass(frozen=True, slots=True)
class StoredExtent:
    """What is stored of the series that answer one position: from the bucket *oldest* to *newest*, None for nothing.

    *agg_interval* is theirs. Radar is proven not to have the buckets of the ranges *proven*. All in epoch seconds.
    """

    agg_interval: AggInterval
    oldest: int | None
    newest: int | None
    proven: tuple[EpochWindow, ...] = ()


def published_absences(timestamps: Sequence[int], asked: EpochWindow, step: int, published: float) -> list[EpochWindow]:
    """Find the runs that are absent of the range *asked*, of which *timestamps* are there.

    Radar has published the series up to *published*, in epoch seconds.
    """
    start, end = asked
    return absent_windows(timestamps, start, max(start, min(end, floor(published, step, start))), step)


def absence_rejection(
    timestamps: Sequence[int], asked: EpochWindow, runs: Sequence[EpochWindow], kept: StoredExtent
) -> str | None:
    """Say why a range cannot be answered: nothing of it is stored, or it begins before the first stored bucket.

    None if it can be answered: it is no fault that Radar is proven to have none of the buckets at its beginning.
    """
    if not runs or runs[0][0] > asked[0] or _is_covered(runs[0], kept.proven):
        return None
    if timestamps and kept.oldest is not None and kept.oldest <= asked[0]:
        return None
    first = rfc3339(from_epoch(asked[0]))
    if kept.oldest is None or kept.newest is None:
        return f"Nothing is stored from {first} on: the history has no bucket yet"
    oldest, newest = (rfc3339(from_epoch(moment)) for moment in (kept.oldest, kept.newest))
    stored = f"the first stored {kept.agg_interval} bucket is {oldest}, the last one is {newest}"
    if timestamps or asked[0] < kept.oldest < asked[1]:
        return f"The range begins at {first}, before the history: {stored}"
    last = rfc3339(from_epoch(asked[1]))
    return f"Nothing is stored from {first} to {last}: {stored}"


def _is_covered(run: EpochWindow, ranges: Iterable[EpochWindow]) -> bool:
    return any(start <= run[0] and run[1] <= end for start, end in ranges)


def absence_sentences(found: Sequence[AbsentBuckets], most: int = MAX_RUNS) -> list[str]:
    """Describe what is absent, a sentence a series, each with its name: `1h buckets absent: A..B (n), …`.

    A and B are the starts of the first and of the last absent bucket of a run of n buckets.
    """
    return [f"{one.name}: {text}" for one, text in _described_absences(found, most)]


def absence_header(found: Sequence[AbsentBuckets]) -> str:
    """Write the same for a response header: names are percent-encoded, series separated by `; `."""
    return "; ".join(f"{quote(one.name, safe=' ')[:_LONGEST_NAME]}: {text}" for one, text in _described_absences(found))


def _described_absences(found: Sequence[AbsentBuckets], most: int = MAX_RUNS) -> list[tuple[AbsentBuckets, str]]:
    described = []
    for one in found:
        shown = one.runs[:most]
        most -= len(shown)
        step, texts = one.agg_interval.seconds, []
        for start, end in shown:
            first, last = (rfc3339(from_epoch(moment)) for moment in (start, end - step))
            texts.append(f"{first}..{last} ({(end - start) // step})")
        left = AbsentBuckets(one.name, one.agg_interval, one.runs[len(shown) :])
        if left.runs:
            texts.append(f"and others ({left.buckets})" if texts else f"in all ({left.buckets})")
        described.append((one, f"{one.agg_interval} buckets absent: {', '.join(texts)}"))
    return described


def why_outside(asked: SeriesRequest, taken: Snapshot, now: datetime) -> str | None:
    """Return why the snapshot *taken* cannot answer *asked* at *now*; None if it can."""
    start, end = from_epoch(asked.start), from_epoch(asked.end)
    if _holds(taken, asked.query.agg_interval, start, end, now):
        return None
    return (
        f"The range {rfc3339(start)}..{rfc3339(end)} lies outside of the newest snapshot for these filters, "
        f"{_described_snapshot(taken)}"
    )


def why_any_outside(
    found: Iterable[SelectedSeries], start: datetime | None, end: datetime | None, now: datetime
) -> str | None:
    """Return which snapshot of *found* does not cover *start* to *end*; None if all do.

    A bound of None is that of the snapshot.
    """
    for one in found:
        if one.snapshot and not _holds(one.snapshot, one.agg_interval, start, end, now):
            return (
                f"{one.label}: the range {_bound(start)}..{_bound(end)} lies outside of the newest snapshot, "
                f"{_described_snapshot(one.snapshot)}; choose a range inside it, or leave this profile out"
            )
    return None


def _holds(taken: Snapshot, interval: AggInterval, start: datetime | None, end: datetime | None, now: datetime) -> bool:
    """Return whether *taken* starts early enough, and reaches what Radar should have published since.

    The newest bucket may be absent, because the next pass will add it.
    """
    lag = max(taken.asked_at - taken.last_updated, timedelta(0))
    published = interval.floor(now - lag) - interval.step
    begins = start is None or taken.start <= start < taken.end
    return begins and (end is None or min(end, published) <= taken.end)


def _described_snapshot(taken: Snapshot) -> str:
    return f"which was asked for at {rfc3339(taken.asked_at)} and covers {rfc3339(taken.start)}..{rfc3339(taken.end)}"


def _bound(moment: datetime | None) -> str:
    return rfc3339(moment) if moment else ""

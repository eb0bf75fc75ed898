"""Gaps, and the reasons why a range cannot be answered: absent buckets, or a snapshot that does not cover it.

A bucket is absent if Radar has published it, as far as is known, and it is not stored. A bucket that is not published
yet is not absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

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
        placed = view.placed(profiles)
        return gaps_of_profiles(view, placed, view.status_rows(placed), now)

    return await store.with_read_view(work)


def gaps_of_profiles(
    store: ReadView, profiles: Sequence[Profile], rows: Sequence[ProfileStatus], now: datetime
) -> list[Gap]:
    """Return the gaps of all series of *profiles* up to what Radar has published at *now*, by profile, ascending.

    *rows* is the status of the same profiles. A series that is complete by its count is skipped. A series with values
    that are relative to one answer has no gaps, because a second answer could not be joined to the first.
    """
    from collector.store import ExpectedWindow  # imported here so that the help of a command imports no store

    queries = [series.query for profile in profiles for series in profile.series]
    stored, complete = store.extents(queries), store.complete_extents(queries)
    relative = store.relative_queries(queries)
    labelled, expected = [], []
    for profile, row in zip(profiles, rows, strict=True):
        published = now - row.ahead - max(profile.publication_delay + row.behind, profile.due_delay)
        expected_of = cache(partial(profile.expected, published=published))  # most series have the same extent
        for series in () if profile.takes_snapshots else profile.series:  # a snapshot has no gaps
            within = expected_of(stored.get(series.query))
            if within and series.query not in relative and not _is_inside(within, complete.get(series.query)):
                labelled.append((profile, series))
                expected.append(ExpectedWindow(series.query, within, profile.settle))
    gaps = zip(labelled, store.find_gaps(expected), strict=True)
    return [_gap(profile, series, gap) for (profile, series), windows in gaps for gap in windows]


def _gap(profile: Profile, series: LabelledSeries, gap: GapWindow) -> Gap:
    buckets = gap.window.duration // profile.agg_interval.step
    return Gap(profile.name, series.label, gap.window.start, gap.window.end, buckets, gap.reason)


def _is_inside(window: Window, complete: Window | None) -> bool:
    return complete is not None and complete.start <= window.start and window.end <= complete.end


ABSENT_HEADER = "X-Absent-Buckets"
ABSENT_CODE = 2100
"""The code of a message about absent buckets, in `messages` of an answer."""
MAX_WINDOWS = 24
"""The number of windows that are listed, of all series of an answer together. The others are counted."""
_MAX_NAME_LENGTH = 80


class AbsentBuckets(NamedTuple):
    """The buckets of *agg_interval* that the answer lacks for the series *name*: *windows* [start, end), ascending."""

    name: str
    agg_interval: AggInterval
    windows: tuple[EpochWindow, ...]

    @property
    def buckets(self) -> int:
        """The number of these buckets."""
        return sum(end - start for start, end in self.windows) // self.agg_interval.seconds


class StoredExtent(NamedTuple):
    """What is stored of the series that answer one position: from the bucket *oldest* to *newest*, None for nothing.

    *agg_interval* is their interval. Radar is proven not to have the buckets in *proven*. Times are epoch seconds.
    """

    agg_interval: AggInterval
    oldest: int | None
    newest: int | None
    proven: tuple[EpochWindow, ...] = ()


def published_absences(
    timestamps: Sequence[int], requested: EpochWindow, step: int, published: float
) -> list[EpochWindow]:
    """Return the windows of *requested* that are published and absent; *timestamps* are the stored buckets.

    Radar has published the series up to *published*, in epoch seconds.
    """
    from collector.contract.request_parser import floor

    start, end = requested
    return absent_windows(timestamps, start, max(start, min(end, floor(published, step, start))), step)


def absence_rejection(
    timestamps: Sequence[int], requested: EpochWindow, absent: Sequence[EpochWindow], stored: StoredExtent
) -> str | None:
    """Return why a range cannot be answered: nothing of it is stored, or it begins before the first stored bucket.

    None if it can be answered, also if Radar is proven to have none of the buckets at its beginning.
    """
    if not absent or absent[0][0] > requested[0] or _is_covered(absent[0], stored.proven):
        return None
    if timestamps and stored.oldest is not None and stored.oldest <= requested[0]:
        return None
    first = rfc3339(from_epoch(requested[0]))
    if stored.oldest is None or stored.newest is None:
        return f"Nothing is stored from {first} on: the history has no bucket yet"
    oldest, newest = (rfc3339(from_epoch(moment)) for moment in (stored.oldest, stored.newest))
    extent = f"the first stored {stored.agg_interval} bucket is {oldest}, the last one is {newest}"
    if timestamps or requested[0] < stored.oldest < requested[1]:
        return f"The range begins at {first}, before the history: {extent}"
    last = rfc3339(from_epoch(requested[1]))
    return f"Nothing is stored from {first} to {last}: {extent}"


def _is_covered(window: EpochWindow, windows: Iterable[EpochWindow]) -> bool:
    return any(start <= window[0] and window[1] <= end for start, end in windows)


def absence_sentences(absences: Sequence[AbsentBuckets], max_windows: int = MAX_WINDOWS) -> list[str]:
    """Return one sentence for each series, with its name: `1h buckets absent: A..B (n), …`.

    A and B are the starts of the first and of the last of n absent buckets in a row.
    """
    return [f"{absent.name}: {text}" for absent, text in _described_absences(absences, max_windows)]


def absence_header(absences: Sequence[AbsentBuckets]) -> str:
    """Return the same for a response header: names are percent-encoded, series are separated by `; `."""
    described = _described_absences(absences, MAX_WINDOWS)
    return "; ".join(f"{quote(absent.name, safe=' ')[:_MAX_NAME_LENGTH]}: {text}" for absent, text in described)


def _described_absences(absences: Sequence[AbsentBuckets], max_windows: int) -> list[tuple[AbsentBuckets, str]]:
    described = []
    for absent in absences:
        shown = absent.windows[:max_windows]
        max_windows -= len(shown)
        step, texts = absent.agg_interval.seconds, []
        for start, end in shown:
            first, last = (rfc3339(from_epoch(moment)) for moment in (start, end - step))
            texts.append(f"{first}..{last} ({(end - start) // step})")
        rest = AbsentBuckets(absent.name, absent.agg_interval, absent.windows[len(shown) :])
        if rest.windows:
            texts.append(f"and others ({rest.buckets})" if texts else f"in all ({rest.buckets})")
        described.append((absent, f"{absent.agg_interval} buckets absent: {', '.join(texts)}"))
    return described


def why_outside(requested: SeriesRequest, snapshot: Snapshot, now: datetime) -> str | None:
    """Return why *snapshot* cannot answer *requested* at *now*; None if it can."""
    start, end = from_epoch(requested.start), from_epoch(requested.end)
    if _contains(snapshot, requested.query.agg_interval, start, end, now):
        return None
    return (
        f"The range {rfc3339(start)}..{rfc3339(end)} lies outside of the newest snapshot for these filters, "
        f"{_described_snapshot(snapshot)}"
    )


def why_any_outside(
    selected: Iterable[SelectedSeries], start: datetime | None, end: datetime | None, now: datetime
) -> str | None:
    """Return which snapshot of *selected* does not cover *start* to *end*; None if all do.

    A bound of None is that of the snapshot.
    """
    for series in selected:
        if series.snapshot and not _contains(series.snapshot, series.agg_interval, start, end, now):
            return (
                f"{series.label}: the range {_bound(start)}..{_bound(end)} lies outside of the newest snapshot, "
                f"{_described_snapshot(series.snapshot)}; choose a range inside it, or leave this profile out"
            )
    return None


def why_no_snapshot(view: ReadView, selected: Iterable[SelectedSeries], as_of: datetime | None) -> list[str]:
    """Return a sentence for each profile of *selected* whose snapshots were all requested after *as_of*."""
    lacking = {series.series_id: series for series in selected if not series.asked_at}
    if as_of is None or not lacking:
        return []
    first: dict[str, datetime] = {}
    for series_id, asked_at in view.oldest_snapshots(lacking).items():
        profile = lacking[series_id].profile
        first[profile] = min(asked_at, first.get(profile, asked_at))
    return [
        f"{profile}: no snapshot of {rfc3339(as_of)} or before is kept: of each UTC day, a snapshot replaces the "
        f"earlier ones; the oldest one that can be asked for was requested at {rfc3339(asked_at)}"
        for profile, asked_at in first.items()
    ]


def _contains(
    snapshot: Snapshot, interval: AggInterval, start: datetime | None, end: datetime | None, now: datetime
) -> bool:
    """Return whether *snapshot* starts early enough, and reaches what Radar should have published since.

    The newest bucket may be absent, because the next pass will add it.
    """
    lag = max(snapshot.asked_at - snapshot.last_updated, timedelta(0))
    published = interval.floor(now - lag) - interval.step
    starts_inside = start is None or snapshot.start <= start < snapshot.end
    return starts_inside and (end is None or min(end, published) <= snapshot.end)


def _described_snapshot(snapshot: Snapshot) -> str:
    covered = f"{rfc3339(snapshot.start)}..{rfc3339(snapshot.end)}"
    return f"which was requested at {rfc3339(snapshot.asked_at)} and covers {covered}"


def _bound(moment: datetime | None) -> str:
    return rfc3339(moment) if moment else ""

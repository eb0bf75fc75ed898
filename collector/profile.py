"""What the operator asks for: profiles and their series."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.datasets import DEFAULT, dataset_named
from collector.interval import AggInterval, Grid
from collector.model import Question, RequestKind, Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class LabelledSeries:
    """A series under the label a profile gives it: `profile`, or `profile/value` under `each`."""

    label: str
    query: Question


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a profile wants its snapshots to reach: to *since*, else *lookback* before the moment of asking."""

    since: datetime | None
    lookback: timedelta


@dataclass(frozen=True, slots=True)
class Profile:
    """One `[[profiles]]` table with every setting resolved.

    *filters* and *each* map the API's parameter names to values; labels follow the operator's order of *each*. If not
    *enabled*, the profile is paused: nothing is asked for it, and its history is kept. Buckets begin *offset* later
    than those of the usual grid, as Radar was found to have them. *dataset* is the name of a record in `datasets`.
    """

    name: str
    agg_interval: AggInterval
    filters: Mapping[str, tuple[str, ...]]
    each: Mapping[str, tuple[str, ...]]
    since: datetime | None
    publication_delay: timedelta
    lookback: timedelta
    settle: timedelta
    heal: bool
    enabled: bool = True
    offset: timedelta = timedelta(0)
    dataset: str = DEFAULT.name

    @property
    def grid(self) -> Grid:
        """Where its buckets start."""
        return Grid(self.agg_interval, self.offset)

    @property
    def request_kind(self) -> RequestKind:
        """The kind of the requests that collect it."""
        return RequestKind(self.dataset, self.agg_interval)

    @property
    def series(self) -> tuple[LabelledSeries, ...]:
        """One series, or one per combination of the values of *each*."""
        return tuple(self._series(values) for values in itertools.product(*self.each.values()))

    @property
    def takes_snapshots(self) -> bool:
        """Whether values depend on the moment of asking: all the series of such a profile are snapshots, or none."""
        return bool(self.snapshot_filters)

    @property
    def snapshot_filters(self) -> list[str]:
        """The filters that Radar judges at the moment of the request."""
        return dataset_named(self.dataset).snapshot_filters([*self.filters, *self.each])

    @property
    def reach(self) -> Reach:
        """How far back its snapshots reach, if it takes any."""
        return Reach(self.since, self.lookback)

    def due_edges(self, after: datetime | None, now: datetime) -> list[datetime]:
        """The edges in (*after*, *now*] whose publication delay has passed, ascending; with no *after*, the newest.

        A fire is known by its edge, whatever the delay: a changed delay makes no second fire of one edge.
        """
        newest = self.grid.floor(now - self.publication_delay)
        if after is None:
            return [newest]
        missed = (newest - self.grid.floor(after)) // self.agg_interval.step
        return [newest - self.agg_interval.step * back for back in reversed(range(max(missed, 0)))]

    def next_due(self, now: datetime) -> datetime:
        """The first moment after *now* at which the profile is due."""
        edge = self.grid.floor(now - self.publication_delay)
        return edge + self.agg_interval.step + self.publication_delay

    def expected(self, stored: Window | None, published: datetime) -> Window | None:
        """The buckets of one series that should be there: from `since`, or the first stored one, to what is published.

        *published* is the moment up to which Radar has data. None where nothing is expected yet. Of a paused profile
        nothing is expected after the newest stored bucket.
        """
        end = self.grid.floor(published)
        if not self.enabled:
            if stored is None:
                return None
            end = min(end, stored.end)
        start = self.since or (stored.start if stored else end)
        return Window(self.grid.floor(start), end) if start < end else None

    def _series(self, values: tuple[str, ...]) -> LabelledSeries:
        label = "/".join((self.name, *values))
        filters = {**self.filters, **{name: (value,) for name, value in zip(self.each, values, strict=True)}}
        return LabelledSeries(label, Question(self.agg_interval, filters, self.dataset))


def on_grids(profiles: Iterable[Profile], grids: Mapping[AggInterval, Grid]) -> list[Profile]:
    """Put *profiles* on the grids that are in use; an interval that is absent has the usual one."""
    found = ((one, grids.get(one.agg_interval) or Grid(one.agg_interval)) for one in profiles)
    return [one if one.offset == grid.offset else replace(one, offset=grid.offset) for one, grid in found]


def awake(profiles: Iterable[Profile], named: Collection[str] = ()) -> list[Profile]:
    """Choose those of *profiles* that are not paused; ValueError if a paused one is *named*, or no other is left."""
    listed = list(profiles)
    paused = [profile.name for profile in listed if not profile.enabled]
    chosen = [profile for profile in listed if profile.enabled]
    refused = [name for name in paused if name in named] or (paused if not chosen else [])
    if refused:
        raise ValueError(f"profiles: paused by enabled = false, so nothing is asked for them: {', '.join(refused)}")
    return chosen


def with_history(profiles: Iterable[Profile], named: Collection[str] = ()) -> list[Profile]:
    """Choose those of *profiles* that have a history to backfill: not paused ones, nor those that take snapshots.

    Raises ValueError if such a profile is among the *named* ones, or if no other is left.
    """
    listed = awake(profiles, named)
    moving = {profile.name: profile.snapshot_filters for profile in listed if profile.takes_snapshots}
    chosen = [profile for profile in listed if not profile.takes_snapshots]
    refused = [name for name in moving if name in named] or ([*moving] if not chosen else [])
    if refused:
        filters = ", ".join(dict.fromkeys(itertools.chain.from_iterable(moving[name] for name in refused)))
        raise ValueError(
            f"profiles: {', '.join(refused)} cannot be backfilled, because {filters} is judged at the moment of "
            "asking: every pass takes a snapshot of the whole range from `since`"
        )
    return chosen

"""The profiles of the operator and their series."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from collector.datasets import DEFAULT, dataset_named
from collector.interval import AggInterval, Grid
from collector.model import Question, RequestKind, Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime


STAR = "*"
"""The value of `each` that stands for every known name of a free-text filter."""


class LabelledSeries(NamedTuple):
    """A question with its label in a profile: `profile`, or `profile/value` with `each`."""

    label: str
    query: Question


class Reach(NamedTuple):
    """How far back the snapshots of a profile reach: to *since*, or *lookback* before the request if it is None."""

    since: datetime | None
    lookback: timedelta


@dataclass(frozen=True)
class Profile:
    """One `[[profiles]]` table with every setting resolved.

    *filters* and *each* map the API's parameter names to values; labels have the operator's order of *each*. If not
    *enabled*, the profile is paused: no request is sent for it, and its history is kept. Buckets begin *offset* later
    than those of the usual grid, if answers have shown that. *dataset* is the name of a record in `datasets`. With a
    *dimension*, each of its questions is answered by a series for each group; see Question for *most_groups* and
    *normalization*. *names* are what a STAR in *each* stands for, as far as is known: the filter's name to values.
    A profile that *waits* is due after the *learned_delay*, if that is longer than its *publication_delay*.
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
    dimension: str = ""
    most_groups: int = 0
    normalization: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    waits: bool = False
    learned_delay: timedelta = timedelta(0)

    @property
    def grid(self) -> Grid:
        """The grid of its buckets."""
        return Grid(self.agg_interval, self.offset)

    @property
    def request_kind(self) -> RequestKind:
        """The kind of its requests."""
        return RequestKind(self.dataset, self.agg_interval, self.dimension)

    @cached_property
    def series(self) -> tuple[LabelledSeries, ...]:
        """One series, or one for each combination of the values of *each*; built once."""
        series = []
        varied = [self.names.get(name, ()) if values == (STAR,) else values for name, values in self.each.items()]
        for values in itertools.product(*varied):
            filters = {**self.filters, **{name: (value,) for name, value in zip(self.each, values, strict=True)}}
            place = self.dataset, self.dimension, ""
            question = Question(self.agg_interval, filters, *place, self.normalization, self.most_groups)
            series.append(LabelledSeries("/".join((self.name, *values)), question))
        return tuple(series)

    @property
    def starred(self) -> list[str]:
        """The filters that a star in *each* varies over every known name."""
        return [name for name, values in self.each.items() if values == (STAR,)]

    @property
    def takes_snapshots(self) -> bool:
        """Whether values depend on the moment of the request: then all series of the profile are snapshots."""
        return bool(self.snapshot_filters)

    @property
    def snapshot_filters(self) -> list[str]:
        """The filters that Radar judges at the moment of the request."""
        return dataset_named(self.dataset).snapshot_filters([*self.filters, *self.each])

    @property
    def due_delay(self) -> timedelta:
        """How long after the end of a bucket it is due."""
        return max(self.publication_delay, self.learned_delay)

    def due(self, now: datetime) -> datetime:
        """Return the newest due moment at *now*."""
        return self.due_edges(None, now)[0] + self.due_delay

    def counts_from(self, due: datetime) -> datetime:
        """Return the moment from which the end of a pass counts for the fire at *due*.

        The learned delay may have grown since that pass, so only the publication delay counts.
        """
        return due - self.due_delay + self.publication_delay

    @property
    def reach(self) -> Reach:
        """How far back its snapshots reach, if it has any."""
        return Reach(self.since, self.lookback)

    def due_edges(self, after: datetime | None, now: datetime) -> list[datetime]:
        """Return the edges in (*after*, *now*] whose delay has passed, ascending; only the newest if *after* is None.

        A fire is identified by its edge, so a changed delay makes no second fire of one edge.
        """
        newest = self.grid.floor(now - self.due_delay)
        if after is None:
            return [newest]
        missed = (newest - self.grid.floor(after)) // self.agg_interval.step
        return [newest - self.agg_interval.step * back for back in reversed(range(max(missed, 0)))]

    def next_due(self, now: datetime) -> datetime:
        """Return the first time after *now* at which the profile is due."""
        edge = self.grid.floor(now - self.due_delay)
        return edge + self.agg_interval.step + self.due_delay

    def expected(self, stored: Window | None, published: datetime) -> Window | None:
        """Return the window that one series should have: from `since` or the first stored bucket to *published*.

        *published* is the time until which Radar has data. Returns None if nothing is expected yet. A paused profile
        expects nothing after its newest stored bucket.
        """
        end = self.grid.floor(published)
        if not self.enabled:
            if stored is None:
                return None
            end = min(end, stored.end)
        start = self.since or (stored.start if stored else end)
        return Window(self.grid.floor(start), end) if start < end else None


def on_grids(profiles: Iterable[Profile], grids: Mapping[AggInterval, Grid]) -> list[Profile]:
    """Return *profiles* with the offsets of *grids*; an interval that is absent has the usual grid."""
    pairs = ((profile, grids.get(profile.agg_interval) or Grid(profile.agg_interval)) for profile in profiles)
    return [
        profile if profile.offset == grid.offset else replace(profile, offset=grid.offset) for profile, grid in pairs
    ]


def with_delays(profiles: Iterable[Profile], delays: Mapping[AggInterval, timedelta]) -> list[Profile]:
    """Return *profiles* with the learned *delays*, which matter to those that wait."""
    chosen = []
    for profile in profiles:
        learned = delays.get(profile.agg_interval, timedelta(0)) if profile.waits else timedelta(0)
        chosen.append(profile if profile.learned_delay == learned else replace(profile, learned_delay=learned))
    return chosen


def with_names(profiles: Iterable[Profile], names: Mapping[str, tuple[str, ...]]) -> list[Profile]:
    """Return *profiles* with the known *names*, by filter, in place of each star."""
    chosen = []
    for profile in profiles:
        known = {name: names.get(name, ()) for name in profile.starred}
        chosen.append(profile if profile.names == known else replace(profile, names=known))
    return chosen


def awake(profiles: Iterable[Profile], names: Collection[str] = ()) -> list[Profile]:
    """Return the *profiles* that are not paused. Raises ValueError if one of *names* is paused, or if all are."""
    listed = list(profiles)
    paused = [profile.name for profile in listed if not profile.enabled]
    chosen = [profile for profile in listed if profile.enabled]
    rejected = [name for name in paused if name in names] or (paused if not chosen else [])
    if rejected:
        raise ValueError(f"profiles: paused by enabled = false, so nothing is fetched for them: {', '.join(rejected)}")
    return chosen


def with_history(profiles: Iterable[Profile], names: Collection[str] = ()) -> list[Profile]:
    """Return the *profiles* that can be backfilled: they are not paused and have no snapshots.

    Raises ValueError if one of *names* cannot be backfilled, or if no profile can be.
    """
    listed = awake(profiles, names)
    moving = {profile.name: profile.snapshot_filters for profile in listed if profile.takes_snapshots}
    chosen = [profile for profile in listed if not profile.takes_snapshots]
    rejected = [name for name in moving if name in names] or ([*moving] if not chosen else [])
    if rejected:
        filters = ", ".join(dict.fromkeys(itertools.chain.from_iterable(moving[name] for name in rejected)))
        raise ValueError(
            f"profiles: {', '.join(rejected)} cannot be backfilled, because {filters} is judged at the moment of "
            "the request: every pass takes a snapshot of the whole range from `since`"
        )
    return chosen

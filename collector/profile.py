"""What the operator asks for: profiles, and the filters of the API with what each allows.

Source of the filters: Cloudflare's OpenAPI description of `GET /radar/ct/timeseries`.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from collector.additivity import moves
from collector.interval import Grid
from collector.model import AggInterval, SeriesQuery, Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

_TLD = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])")
_BOOLEANS = ("true", "false")


@dataclass(frozen=True, slots=True)
class FilterParameter:
    """A filter parameter of the API. *values* lists what it accepts; empty means text of at most *max_length*."""

    name: str
    values: tuple[str, ...] = ()
    max_length: int = 1000
    pattern: re.Pattern[str] | None = None
    min_length: int = 1

    @property
    def option(self) -> str:
        """The name in snake_case, as configuration and command line spell it."""
        return snake_case(self.name)

    @property
    def allowed(self) -> str:
        """What the parameter accepts, in words."""
        if self.values:
            return "one of " + ", ".join(self.values)
        if self.pattern:
            return f"{self.min_length} to {self.max_length} of a-z, 0-9 and -, without a dot"
        return f"text of {self.min_length} to {self.max_length} characters"

    def accepts(self, value: str) -> bool:
        """Tell whether the API would take *value*."""
        if self.values:
            return value in self.values
        fits = self.min_length <= len(value) <= self.max_length and value.isprintable() and value == value.strip()
        return fits and (self.pattern is None or self.pattern.fullmatch(value) is not None)


def snake_case(name: str) -> str:
    """`caOwner` → `ca_owner`."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


_PARAMETERS = (
    FilterParameter("ca"),
    FilterParameter("caOwner"),
    FilterParameter(
        "duration",
        (
            "LTE_3D",
            "GT_3D_LTE_7D",
            "GT_7D_LTE_10D",
            "GT_10D_LTE_47D",
            "GT_47D_LTE_100D",
            "GT_100D_LTE_200D",
            "GT_200D",
        ),
    ),
    FilterParameter("entryType", ("PRECERTIFICATE", "CERTIFICATE")),
    FilterParameter("expirationStatus", ("EXPIRED", "VALID")),
    FilterParameter("hasIps", _BOOLEANS),
    FilterParameter("hasWildcards", _BOOLEANS),
    FilterParameter("log", max_length=100),
    FilterParameter("logApi", ("RFC6962", "STATIC")),
    FilterParameter("logOperator", max_length=100),
    FilterParameter("publicKeyAlgorithm", ("DSA", "ECDSA", "RSA")),
    FilterParameter(
        "signatureAlgorithm",
        (
            "DSA_SHA_1",
            "DSA_SHA_256",
            "ECDSA_SHA_1",
            "ECDSA_SHA_256",
            "ECDSA_SHA_384",
            "ECDSA_SHA_512",
            "PSS_SHA_256",
            "PSS_SHA_384",
            "PSS_SHA_512",
            "RSA_MD2",
            "RSA_MD5",
            "RSA_SHA_1",
            "RSA_SHA_256",
            "RSA_SHA_384",
            "RSA_SHA_512",
        ),
    ),
    FilterParameter("tld", max_length=63, pattern=_TLD, min_length=2),
    FilterParameter("uniqueEntries", _BOOLEANS),
    FilterParameter("validationLevel", ("DOMAIN", "ORGANIZATION", "EXTENDED")),
)

FILTERS: Mapping[str, FilterParameter] = MappingProxyType({parameter.name: parameter for parameter in _PARAMETERS})
"""Every filter parameter by the API's name."""

TLD_EXCLUDES = frozenset({"log", "logApi", "logOperator", "entryType"})
"""What the API refuses beside `tld`."""

_BY_SPELLING = {spelling: p for p in _PARAMETERS for spelling in (p.name, p.option)}


def filter_parameter(spelling: str) -> FilterParameter | None:
    """Find a filter by its snake_case or camelCase name; None where there is none of that name."""
    return _BY_SPELLING.get(spelling)


@dataclass(frozen=True, slots=True)
class LabelledSeries:
    """A series under the label a profile gives it: `profile`, or `profile/value` under `each`."""

    label: str
    query: SeriesQuery


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
    than those of the usual grid, as Radar was found to have them.
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

    @property
    def grid(self) -> Grid:
        """Where its buckets start."""
        return Grid(self.agg_interval, self.offset)

    @property
    def series(self) -> tuple[LabelledSeries, ...]:
        """One series, or one per combination of the values of *each*."""
        return tuple(self._series(values) for values in itertools.product(*self.each.values()))

    @property
    def takes_snapshots(self) -> bool:
        """Whether values depend on the moment of asking: all the series of such a profile are snapshots, or none."""
        return moves({*self.filters, *self.each})

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
        return LabelledSeries(label, SeriesQuery(self.agg_interval, filters))


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
    moving = [profile.name for profile in listed if profile.takes_snapshots]
    chosen = [profile for profile in listed if not profile.takes_snapshots]
    refused = [name for name in moving if name in named] or (moving if not chosen else [])
    if refused:
        raise ValueError(
            f"profiles: {', '.join(refused)} cannot be backfilled, because expirationStatus is judged at the moment of "
            "asking: every pass takes a snapshot of the whole range from `since`"
        )
    return chosen

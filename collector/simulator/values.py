"""Synthetic counts of a dataset: a pure function of seed, bucket and filters, in whole numbers.

All counts are sums of 15-minute counts, so a coarser bucket is the exact sum of the finer ones and no value depends on
the requested window. Each value of a filter has a part of a line that stands for all objects, and takes that part of
every count. So the counts of all values of a filter add up to the unfiltered count: exactly for the last filter in
alphabetical order, and except for rounding for the others.

Only a snapshot filter depends on the moment of the request: the older a bucket, the more of its objects have the first
of the filter's two values.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

from collector.datasets import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.datasets import Dataset, FilterParameter


Seed = int | str

SLOT = 900
"""Seconds of the finest bucket."""
DAY = 86_400
SLOTS = DAY // SLOT

SCALE_BITS = 24
SCALE = 1 << SCALE_BITS
"""The length of the line: every object has a place on it, every value of a filter a part of it."""
UNIQUE_SHARE = SCALE * 54 // 100
"""The part of the line that `true` of a distinct filter leaves."""

_HOURS = tuple(1000 + round(260 * math.sin((slot - 34) * math.tau / SLOTS)) for slot in range(SLOTS))
_WEEKDAYS = (1010, 1040, 1050, 1045, 1020, 930, 905)  # the first of January 1970 was the fourth of these
_BURST = 10
_NEVER_REVISED = 90
_EXPIRED = ((0, 20), (7 * DAY, 120), (47 * DAY, 300), (90 * DAY, 450), (100 * DAY, 900), (398 * DAY, 1000))
"""(age of a bucket in seconds, thousandths of its objects with a snapshot filter's first value); linear between."""


def _noise(length: int, *words: object) -> bytes:
    return hashlib.shake_256("/".join(map(str, words)).encode()).digest(length)


@lru_cache(maxsize=8192)
def day_totals(seed: Seed, day: int) -> tuple[int, ...]:
    """Return the final counts of all objects in the 96 slots of a day; *day* counts from 1970-01-01."""
    noise = _noise(SLOTS + 2, seed, "total", day)
    level = max(1000, 20_000 + 3 * day) * _WEEKDAYS[(day + 3) % 7] // 1000
    level = level * (980 + noise[0] * 40 // 256) // 1000
    burst = range(noise[1] % SLOTS, noise[1] % SLOTS + 8) if noise[0] < _BURST else range(0)
    return tuple(
        level * hour * (960 + grain * 80 // 256 + 400 * (slot in burst)) // 1_000_000
        for slot, (hour, grain) in enumerate(zip(_HOURS, noise[2:], strict=True))
    )


@lru_cache(maxsize=1024)
def seen_totals(seed: Seed, day: int, as_of: int, revised_for: int) -> tuple[int, ...]:
    """Return the counts of a day as published at *as_of*: recent ones are too low or too high, later ones are 0.

    The slot that begins at *as_of* has a part of its count; it is visible only if partial buckets are published.
    """
    final = day_totals(seed, day)
    if (day + 1) * DAY + revised_for <= as_of:
        return final
    marks = _noise(SLOTS, seed, "revised", day)
    ages = range(as_of - day * DAY - SLOT, as_of - (day + 1) * DAY - SLOT, -SLOT)
    return tuple(_seen(count, mark, age, revised_for) for count, mark, age in zip(final, marks, ages, strict=True))


def _seen(final: int, mark: int, age: int, revised_for: int) -> int:
    """Return one count as published *age* seconds after its slot closed."""
    if age < 0:
        return final * (40 + mark // 2) // 256 if age >= -SLOT else 0
    if age >= revised_for or mark < _NEVER_REVISED:
        return final
    per_mille = 2 + mark % 32
    if age * 16 >= revised_for * (8 + mark % 8):
        return final
    if age * 16 >= revised_for * (1 + mark % 4):
        per_mille //= 2
    return final + final * per_mille // 2000 if mark % 8 == 0 else final - final * per_mille // 1000


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """The values of a filter and their parts of the line; *edges* has one entry more than *values*, from 0 to SCALE."""

    name: str
    values: Mapping[str, int]
    edges: tuple[int, ...]

    @classmethod
    def of(cls, name: str, weighted: tuple[tuple[str, int], ...]) -> Dimension:
        """Place the values side by side, in proportion to their weights."""
        total = sum(weight for _, weight in weighted) or 1
        sums = itertools.accumulate((weight for _, weight in weighted), initial=0)
        values = {value: position for position, (value, _) in enumerate(weighted)}
        return cls(name, MappingProxyType(values), tuple(done * SCALE // total for done in sums))

    def spread(self, edge: int) -> int:
        """Return how far an edge may move and never meet its neighbours."""
        if edge in (0, len(self.edges) - 1):
            return 0
        return min(self.edges[edge] - self.edges[edge - 1], self.edges[edge + 1] - self.edges[edge]) // 6


@dataclass(frozen=True, slots=True)
class Population:
    """Which values occur: *more* made-up ones of some filters, and some only on the days from *start* up to *end*.

    *lives* has (value, start, end); days count from 1970-01-01.
    """

    more: tuple[tuple[str, int], ...] = ()
    lives: tuple[tuple[str, int, int], ...] = ()

    def absent(self, day: int) -> frozenset[str]:
        """Return the values that do not occur on a day."""
        return frozenset(value for value, start, end in self.lives if not start <= day < end)


@lru_cache(maxsize=256)
def dimension_of(
    parameter: FilterParameter, population: Population = Population(), absent: frozenset[str] = frozenset()
) -> Dimension:
    """Place the values of a filter on the line, without those *absent*: by their shares, or all equally wide."""
    weighted = parameter.shares or tuple((value, 1) for value in parameter.values)
    number = dict(population.more).get(parameter.name, 0)
    weighted += tuple((f"{parameter.option} {n:03}", 1 + n % 7) for n in range(number))
    return Dimension.of(parameter.name, tuple(pair for pair in weighted if pair[0] not in absent))


@lru_cache(maxsize=4096)
def unlisted(name: str, value: str) -> tuple[int, int]:
    """Return the part of the line of a text value without a known share: at most a fiftieth."""
    digest = hashlib.blake2b(f"{name}={value}".encode(), digest_size=8).digest()
    width = SCALE // 2000 + int.from_bytes(digest[:4], "big") % (SCALE // 50)
    start = int.from_bytes(digest[4:], "big") % (SCALE - width)
    return start, start + width


@dataclass(frozen=True, slots=True)
class SyntheticCounts:
    """The synthetic history of *dataset*; values may change for *revised_for* seconds after their slot has closed."""

    seed: int
    revised_for: int
    dataset: Dataset = DEFAULT
    population: Population = Population()

    def slots(self, filters: Mapping[str, tuple[str, ...]], start: int, end: int, as_of: int) -> list[int]:
        """Return the counts of the slots from *start* up to *end* (epoch seconds on the grid), published at *as_of*."""
        counts: list[int] = []
        seed = self.seed if self.dataset is DEFAULT else f"{self.seed}/{self.dataset.name}"
        parameters = {self.dataset.filters[name]: filters[name] for name in sorted(filters)}
        for day in range(start // DAY, -(-end // DAY)):
            seen = seen_totals(seed, day, as_of, self.revised_for)
            counts += filtered(seen, seed, day, parameters, as_of, self.population)
        return counts[start % DAY // SLOT :][: (end - start) // SLOT]


def filtered(  # noqa: PLR0913, PLR0917 - what the synthetic data depends on
    counts: Sequence[int],
    seed: Seed,
    day: int,
    filters: Mapping[FilterParameter, tuple[str, ...]],
    as_of: int,
    population: Population = Population(),
) -> Sequence[int]:
    """Return the part of a day's counts that *filters*, in their order, leave if they are requested at *as_of*."""
    for parameter, values in filters.items():
        cuts = _cuts(parameter, values, seed, day, population)
        if cuts and parameter.is_snapshot:
            cuts = _expiration_cuts(parameter, values, day, as_of)
        if cuts is None:
            continue
        parts = [
            [
                (n * high >> SCALE_BITS) - (n * low >> SCALE_BITS)
                for n, low, high in zip(counts, lows, highs, strict=True)
            ]
            for lows, highs in cuts
        ]
        counts = parts[0] if len(parts) == 1 else [sum(column) for column in zip((0,) * SLOTS, *parts, strict=True)]
    return counts


_Cut = tuple["Sequence[int]", "Sequence[int]"]


def _cuts(
    parameter: FilterParameter, values: tuple[str, ...], seed: Seed, day: int, population: Population
) -> list[_Cut] | None:
    """Return the parts of the filter's line that *values* cover, for each slot of the day; None for the whole line."""
    if parameter.is_distinct:
        return None if "false" in values else [((0,) * SLOTS, (UNIQUE_SHARE,) * SLOTS)]
    absent = population.absent(day)
    dimension = dimension_of(parameter, population, absent)
    listed = sorted({dimension.values[value] for value in values if value in dimension.values})
    if listed and len(listed) == len(dimension.values):
        return None
    cuts = [(_edge(seed, dimension, at, day), _edge(seed, dimension, at + 1, day)) for at in listed]
    others = sorted({value for value in values if value not in dimension.values and value not in absent})
    if not cuts and not others:
        return [((0,) * SLOTS, (0,) * SLOTS)]
    return cuts + [_unlisted_cut(seed, parameter.name, value, day) for value in others]


def _expiration_cuts(parameter: FilterParameter, values: tuple[str, ...], day: int, as_of: int) -> list[_Cut]:
    """Return the parts of the line of a snapshot filter at *as_of*: the first value grows with age, the second shrinks.

    Raises ValueError for a snapshot filter that does not have exactly two values.
    """
    grown, left = parameter.values
    expired = _expired(day, as_of)
    cuts = {grown: ((0,) * SLOTS, expired), left: (expired, (SCALE,) * SLOTS)}
    return [cuts[value] for value in sorted(set(values))]


@lru_cache(maxsize=1024)
def _expired(day: int, as_of: int) -> tuple[int, ...]:
    """Return where the line of each slot is divided at *as_of*. The first part grows with the age of the slot."""
    return tuple(_share_expired(as_of - day * DAY - slot * SLOT) for slot in range(SLOTS))


def _share_expired(age: int) -> int:
    for (young, few), (old, many) in pairwise(_EXPIRED):
        if age < old:
            return SCALE * (few * (old - young) + (many - few) * max(age - young, 0)) // (1000 * (old - young))
    return SCALE


@lru_cache(maxsize=4096)
def _edge(seed: Seed, dimension: Dimension, edge: int, day: int) -> tuple[int, ...]:
    """Return the place of an edge in each slot: it moves a little, so that shares change as real ones do."""
    place, spread = dimension.edges[edge], dimension.spread(edge)
    if spread == 0:
        return (place,) * SLOTS
    noise = _noise(SLOTS + 1, seed, dimension.name, edge, day)
    place += spread * (noise[SLOTS] - 128) // 256
    return tuple(place + spread * (grain - 128) // 256 for grain in noise[:SLOTS])


def _unlisted_cut(seed: Seed, name: str, value: str, day: int) -> _Cut:
    low, high = unlisted(name, value)
    noise = _noise(SLOTS, seed, name, value, day)
    return (low,) * SLOTS, [high - (high - low) * grain // 1024 for grain in noise]


def is_known(parameter: FilterParameter, value: str, population: Population = Population()) -> bool:
    """Return whether a value of a filter occurs in the synthetic data."""
    return bool(parameter.values) or value in dimension_of(parameter, population).values

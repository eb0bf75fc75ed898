"""The values of one series by period, and what is derived from them: shares, ranks, growth, running sums and means.

Each function returns as many values as there are periods. A value that would not be true is None.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Values = Sequence[float | None]


@dataclass(frozen=True)
class Column:
    """The sum of the known buckets of each period, None where no bucket is known.

    *known* and *expected* are the numbers of buckets. A period is whole if all its buckets are known. *unknown* is the
    number of buckets of which only a bound is known, and *most* the sum of these bounds; None if there are none.
    """

    values: Values
    known: Sequence[int]
    expected: Sequence[int]
    unknown: Sequence[int] | None = None
    most: Sequence[float] | None = None

    @cached_property
    def whole(self) -> Sequence[bool]:
        """Whether each period is whole."""
        if self.known == self.expected:  # most series, and much faster
            return [True] * len(self.known)
        return [known >= expected for known, expected in zip(self.known, self.expected, strict=True)]

    @cached_property
    def is_whole(self) -> bool:
        """Whether all periods are whole."""
        return all(self.whole)

    @cached_property
    def at_most(self) -> Values:
        """The most that the sum of each period may be; None if a bucket is absent of which no bound is known."""
        if self.is_whole:
            return self.values
        if self.unknown is None or self.most is None:
            return [value if whole else None for value, whole in zip(self.values, self.whole, strict=True)]
        rows = zip(self.values, self.known, self.unknown, self.expected, self.most, strict=True)
        return [(value or 0) + most if k + u >= expected else None for value, k, u, expected, most in rows]

    @cached_property
    def total(self) -> float:
        """The sum of all known buckets."""
        return sum(value for value in self.values if value is not None)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> Column:
        unknown = None if self.unknown is None else self.unknown[part]
        most = None if self.most is None else self.most[part]
        return Column(self.values[part], self.known[part], self.expected[part], unknown, most)


def added(columns: Sequence[Column]) -> Column:
    """Return the sum of *columns*, which have the same periods. This is the only place where series are added up."""
    if len(columns) == 1:
        return columns[0]
    if all(column.is_whole for column in columns):
        values: Values = [sum(cells) for cells in zip(*(column.values for column in columns), strict=True)]
    else:
        values = [
            sum(known) if (known := [cell for cell in cells if cell is not None]) else None
            for cells in zip(*(column.values for column in columns), strict=True)
        ]
    known = [sum(cells) for cells in zip(*(column.known for column in columns), strict=True)]
    expected = [sum(cells) for cells in zip(*(column.expected for column in columns), strict=True)]
    bounded = [(column.unknown, column.most) for column in columns if column.unknown and column.most]
    if not bounded:
        return Column(values, known, expected)
    unknown = [sum(cells) for cells in zip(*(counts for counts, _ in bounded), strict=True)]
    most = [sum(cells) for cells in zip(*(bounds for _, bounds in bounded), strict=True)]
    return Column(values, known, expected, unknown, most)


def mean_of(columns: Sequence[Column]) -> Column:
    """Return the mean of *columns*, which have the same periods; None where a bucket of one of them is absent."""
    if len(columns) == 1:
        return columns[0]
    sums = added(columns)
    rows = zip(sums.values, sums.whole, strict=True)
    values = [value / len(columns) if is_whole and value is not None else None for value, is_whole in rows]
    return Column(values, sums.known, sums.expected)


def without(whole: Column, columns: Sequence[Column]) -> Column:
    """Return what *whole*, the sum of all groups, has beside the groups of *columns*, in buckets of *whole*.

    A bucket in which one of them is unknown is unknown, too. Those of several are counted as if none coincided.
    """
    listed = added(columns)
    counts = listed.unknown or [0] * len(whole)
    rows = zip(whole.values, whole.known, listed.values, listed.at_most, counts, strict=True)
    cells = [_without(*row) for row in rows]
    values, known, unknown, most = (list(each) for each in zip(*cells, strict=True)) if cells else ([], [], [], [])
    return Column(values, known, whole.expected, unknown, most)


def _without(
    total: float | None, covered: int, low: float | None, high: float | None, unknown: int
) -> tuple[float | None, int, int, float]:
    """Return value, known buckets, unknown buckets and the sum of their bounds of one period."""
    if total is None or high is None:
        return None, 0, 0, 0.0
    least, most = max(total - high, 0), max(total - (low or 0), 0)
    bounded = min(unknown, covered)
    return least, covered - bounded, bounded, most - least


def shares(column: Column, whole: Column) -> Values:
    """Return *column* in percent of *whole*, of each period; None if a bucket of either is absent, or *whole* is 0."""
    if column.is_whole and whole.is_whole:
        pairs = zip(column.values, whole.values, strict=True)
        return [100 * part / of if of else None for part, of in pairs]  # type: ignore[operator]
    rows = zip(column.values, column.whole, whole.values, whole.whole, strict=True)
    return [100 * part / of if is_part and is_of and of else None for part, is_part, of, is_of in rows]  # type: ignore[operator]


def ranks(columns: Sequence[Column]) -> list[list[int | None]]:
    """Return the rank of each column in each period, 1 for the largest; equal values have the same rank.

    None in periods in which a bucket of any column is absent, or where the bounds of what is unknown allow several.
    """
    by_period = zip(*(column.values for column in columns), strict=True)
    wholes = zip(*(column.whole for column in columns), strict=True)
    bounds = zip(*(column.at_most for column in columns), strict=True)
    rows = [
        _ranked(values) if all(whole) and None not in values else _decided(values, highs)
        for values, whole, highs in zip(by_period, wholes, bounds, strict=True)
    ]
    return [list(each) for each in zip(*rows, strict=True)] if rows else [[] for _ in columns]


def _ranked(values: Sequence[float]) -> list[int | None]:
    first: dict[float, int] = {}
    for place, value in enumerate(sorted(values, reverse=True), start=1):
        first.setdefault(value, place)
    return [first[value] for value in values]


def _decided(values: Values, highs: Values) -> list[int | None]:
    """Return the ranks that are the same for all values between *values* and *highs*."""
    if None in highs:
        return [None] * len(values)
    pairs = [(low or 0.0, high or 0.0) for low, high in zip(values, highs, strict=True)]
    lows, ascending = sorted(low for low, _ in pairs), sorted(high for _, high in pairs)
    exact = Counter(low for low, high in pairs if low == high)
    ranked: list[int | None] = []
    for low, high in pairs:
        larger, smaller = len(lows) - bisect_right(lows, high), bisect_left(ascending, low)
        same = exact[low] if low == high else 1
        ranked.append(larger + 1 if larger + smaller + same == len(pairs) else None)
    return ranked


def growths(column: Column, compared: Column) -> Values:
    """Return the change of *column* against *compared* in percent; None if a bucket is absent, or *compared* is 0."""
    if column.is_whole and compared.is_whole:
        pairs = zip(column.values, compared.values, strict=True)
        return [100 * (value - base) / base if base else None for value, base in pairs]  # type: ignore[operator]
    rows = zip(column.values, column.whole, compared.values, compared.whole, strict=True)
    return [100 * (value - base) / base if new and old and base else None for value, new, base, old in rows]  # type: ignore[operator]


def running(column: Column) -> tuple[Values, Sequence[int]]:
    """Return the sums since the first period, and how many buckets are absent from each; None before the first one."""
    if column.is_whole:
        return list(accumulate(column.values)), [0] * len(column)
    absent = list(accumulate(e - k for k, e in zip(column.known, column.expected, strict=True)))
    sums: list[float | None] = list(accumulate(value or 0 for value in column.values))
    for number, value in enumerate(column.values):
        if value is not None:
            break
        sums[number] = None
    return sums, absent


def means(column: Column, count: int) -> Values:
    """Return the mean of the last *count* periods; None where one of them is not whole or lies before the column."""
    values = [value or 0 for value in column.values]
    sums = _exact(values, count) if _are_whole_numbers(values) else _anew(values, count)
    first: list[float | None] = [None] * min(count - 1, len(values))
    if column.is_whole:
        return first + [total / count for total in sums]
    wholes = list(accumulate(column.whole, initial=0))
    last = zip(sums, wholes, wholes[count:], strict=False)
    return first + [total / count if after - before == count else None for total, before, after in last]


def _are_whole_numbers(values: Sequence[float]) -> bool:
    """Return whether running sums are exact; those of fractions would drift."""
    return set(map(type, values)) <= {int} or all(map(float.is_integer, map(float, values)))


def _exact(values: Sequence[float], count: int) -> list[float]:
    """Return the sums of *count* values in a row, as differences of running sums."""
    sums = list(accumulate(values, initial=0))
    return [after - before for before, after in zip(sums, sums[count:], strict=False)]


def _anew(values: Sequence[float], count: int) -> list[float]:
    """Return the same, each added up anew."""
    return [sum(values[end - count : end]) for end in range(count, len(values) + 1)]


def largest(columns: Sequence[Column], count: int) -> list[int]:
    """Return the positions of the *count* columns with the largest totals, the largest first; earlier ones win ties."""
    places = sorted(range(len(columns)), key=lambda place: (-columns[place].total, place))
    return places[:count]

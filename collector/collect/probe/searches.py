"""Which size or date to try next, from what was accepted and refused so far. Pure, frozen values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

OLDEST_AGE = 5_000
"""Days: certificate transparency began in 2013."""


@dataclass(frozen=True, slots=True)
class SizeSearch:
    """The largest accepted size, exactly: *accepted* was (0: none), *refused* was not (None: none); *top* is enough."""

    top: int
    accepted: int = 0
    refused: int | None = None

    @property
    def next(self) -> int | None:
        """The size to try next; None if the limit is known, or if there is none up to the top."""
        if self.refused is None:
            return self.top if self.accepted < self.top else None
        if self.refused - self.accepted <= 1:
            return None
        # the geometric middle, because limits of 3 and of 50 are equally likely
        middle = isqrt(max(self.accepted, 1) * self.refused)
        return min(max(middle, self.accepted + 1), self.refused - 1)

    def after(self, size: int, *, accepted: bool) -> SizeSearch:
        """Learn what became of *size*."""
        if accepted:
            refused = self.refused if self.refused is None or self.refused > size else None
            return replace(self, accepted=max(self.accepted, size), refused=refused)
        if size <= self.accepted:
            return self
        return replace(self, refused=size if self.refused is None else min(self.refused, size))

    @property
    def is_exact(self) -> bool:
        """Whether nothing is left to try."""
        return self.next is None


@dataclass(frozen=True, slots=True)
class AgeSearch:
    """The oldest day with data, by its age in days: *with_data* has some, *without* (None: unknown) has none.

    *suspects* are ages of one refused request, ascending, at least one of which is refused; *refused* says that
    *without* was refused, not empty.
    """

    with_data: int
    without: int | None = None
    refused: bool = False
    suspects: tuple[int, ...] = ()

    @property
    def meets_refusals(self) -> bool:
        """Whether days are refused for their age, as far as is known."""
        return self.refused or bool(self.suspects)

    def next(self, most: int) -> tuple[int, ...]:
        """Choose the ages to ask in one request, ascending, at most *most*; none if the day is known."""
        if self.suspects:
            return self.suspects[: (len(self.suspects) + 1) // 2][:most]
        if self.refused:
            most = 1  # a request says no more than whether its oldest day is refused
        end = OLDEST_AGE if self.without is None else self.without - 1
        return _spread(self.with_data, end, most) if end > self.with_data else ()

    def answered(self, asked: Sequence[int], having: Collection[int]) -> AgeSearch:
        """Learn that of the days *asked* those in *having* hold data."""
        with_data = max([self.with_data, *having])
        empty = [age for age in asked if age > with_data]
        suspects = tuple(age for age in self.suspects if age not in asked and age > with_data)
        if len(suspects) == 1:  # the others were answered, so it was the one that was refused
            return _narrowed(replace(self, with_data=with_data), suspects[0], refused=True)
        without = None if self.without is not None and self.without <= with_data else self.without
        found = replace(self, with_data=with_data, without=without, suspects=suspects)
        return _narrowed(found, min(empty), refused=False) if empty else found

    def rejected(self, asked: Sequence[int]) -> AgeSearch:
        """Learn that a request for *asked* was refused."""
        if len(asked) > 1:
            return replace(self, suspects=tuple(asked))
        return _narrowed(self, asked[0], refused=True)


def _narrowed(search: AgeSearch, age: int, *, refused: bool) -> AgeSearch:
    if search.without is not None and search.without <= age:
        return replace(search, suspects=())
    return replace(search, without=age, refused=refused, suspects=())


def _spread(low: int, high: int, most: int) -> tuple[int, ...]:
    """At most *most* whole numbers above *low* up to *high*, in equal ratios; of one alone the middle is taken."""
    if high - low <= most:
        return tuple(range(low + 1, high + 1))
    if most == 1:
        return (min(max(isqrt(max(low, 1) * high), low + 1), high),)
    start = max(low, 1)
    ages = {round(start * (high / start) ** (step / most)) for step in range(1, most + 1)}
    return tuple(sorted(age for age in ages if low < age <= high))

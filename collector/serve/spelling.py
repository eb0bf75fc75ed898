"""Text filters that match nothing: most likely a misspelt name, because Radar answers those with zeros, too."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from collector.profile import FILTERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.model import SeriesQuery
    from collector.profile import Profile
    from collector.store import Reader

_ENOUGH = timedelta(days=2)
_AGAIN = timedelta(days=1)
_TEXT = frozenset(name for name, parameter in FILTERS.items() if not parameter.values)


class Spelling:
    """Finds such filters; remembers for a day what it found, and for ever which series have values."""

    def __init__(self) -> None:
        self._right: set[SeriesQuery] = set()
        self._found: dict[SeriesQuery, tuple[datetime, timedelta]] = {}

    async def warnings(self, store: Reader, profiles: Sequence[Profile], now: datetime) -> dict[str, str]:
        """Return a sentence by label for each series with a text filter and no value other than zero.

        Answers must have covered two days of its buckets. Only series with a text filter are read.
        """
        labelled = [one for profile in profiles for one in profile.series if _TEXT & one.query.filters.keys()]
        unknown = list(dict.fromkeys(one.query for one in labelled if not self._knows(one.query, now)))
        if unknown:
            covered, with_values = await _look(store, unknown)
            self._right |= with_values
            long = {query: length for query, length in covered.items() if length >= _ENOUGH}
            self._found = {q: seen for q, seen in self._found.items() if q not in unknown}
            self._found |= {query: (now, length) for query, length in long.items()}
        return {
            one.label: _sentence(one.label, one.query, self._found[one.query][1])
            for one in labelled
            if one.query in self._found
        }

    def _knows(self, query: SeriesQuery, now: datetime) -> bool:
        if query in self._right:
            return True
        seen = self._found.get(query)
        return seen is not None and timedelta(0) <= now - seen[0] < _AGAIN


async def _look(store: Reader, queries: Sequence[SeriesQuery]) -> tuple[dict[SeriesQuery, timedelta], set[SeriesQuery]]:
    """Return the queries without a value other than zero, with the time that answers covered, and those with one."""
    with_points = set(await store.newest(queries))  # first: zeros that come between the two reads are no values
    covered = await store.empty(queries)
    return covered, with_points - covered.keys()


def _sentence(label: str, query: SeriesQuery, covered: timedelta) -> str:
    words = " and ".join(
        f"{FILTERS[name].option} " + ", ".join(f'"{value}"' for value in values)
        for name, values in query.filters.items()
        if name in _TEXT
    )
    return f"{label}: Radar counted nothing in {covered.days} days for {words}; is it spelt as Radar spells it?"

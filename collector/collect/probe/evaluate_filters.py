"""Findings about filters: whether a position may be empty, and how a comma inside a name travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.collect.probe import shape
from collector.collect.probe.finding import Finding
from collector.collect.probe.questions import COMMA_NAME, FILTERED
from collector.model import is_absolute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collector.collect.probe.exchange import Exchange
    from collector.collect.probe.observations import Seen

_SECTION = "Filters"
_ALIKE = 0.9
"""So large a part of two series is equal if they are the same: a young value may be revised between two requests."""
_EMPTY = "empty filter positions"
_TWO = 2
"""Series of the request with a filtered and an unfiltered one; as a limit, one series a request."""


def findings_of_filters(seen: Seen) -> Iterator[Finding]:
    """Yield what the answers to filtered series show."""
    base = seen.base
    if base is None:
        return
    first = seen.by_interval[base]
    if seen.empties:
        yield _empty_positions(seen, first, seen.empties)
    if seen.comma_twice:
        yield _comma(first, seen.comma_twice, seen.comma_once)


def alike(one: Mapping[int, float], other: Mapping[int, float]) -> bool:
    """Tell whether two series are the same but for a few revised values."""
    common = one.keys() & other.keys()
    return bool(common) and sum(one[moment] == other[moment] for moment in common) >= _ALIKE * len(common)


def _empty_positions(seen: Seen, first: Exchange, exchange: Exchange) -> Finding:
    name = "empty_positions"
    if not exchange.is_data or len(shape.series_of(exchange.document)) < _TWO:
        why = str(exchange.error) if exchange.error else "only one series came"
        if seen.positions.refused == _TWO:
            return Finding(_SECTION, name, _EMPTY, "not known", "one series a request leaves no position empty")
        meaning = "series with and without a filter are asked in separate requests"
        return Finding(_SECTION, name, _EMPTY, f"refused: {why}", meaning, settled=True, value=False)
    if not is_absolute(str(shape.meta_of(exchange.document).get("normalization", ""))):
        return Finding(_SECTION, name, _EMPTY, "accepted", "values that are not absolute are not compared", value=True)
    if not first.points:
        return Finding(_SECTION, name, _EMPTY, "accepted", "there are no values to compare", value=True)
    trouble = _misplaced(first.points, exchange.points_of(0), exchange.points_of(1))
    if trouble:
        return Finding(_SECTION, name, _EMPTY, f"accepted, but {trouble[0]}", trouble[1], settled=False)
    (filter_,) = FILTERED
    meaning = f"series with and without {filter_} share a request"
    return Finding(_SECTION, name, _EMPTY, "accepted, each series in its place", meaning, settled=True, value=True)


def _misplaced(
    whole: Mapping[int, float], plain: Mapping[int, float], filtered: Mapping[int, float]
) -> tuple[str, str] | None:
    """Say what is wrong with two series of one answer, and what that means, if the *whole* is not in its place."""
    if alike(plain, filtered):
        return "both series are the same", "the filter has no effect, so its values would be wrong"
    if alike(plain, whole):
        return None
    if alike(filtered, whole):
        return "the filter moved to the first series", "values would get another owner: do not collect yet"
    return "neither series is the unfiltered one", "whose values came is not known: do not collect yet"


def _comma(first: Exchange, twice: Exchange, once: Exchange | None) -> Finding:
    name, question = "comma_encoding", f"{COMMA_NAME} as a filter"
    double, single, whole = twice.points, once.points if once else {}, first.points
    has_double, has_single = _has_values(double, whole), _has_values(single, whole)
    encodings = {"twice": _words(twice), "once": _words(once) if once else "not asked"}
    answer = ", ".join(f"encoded {number}: {words}" for number, words in encodings.items())
    if has_double and has_single:
        meaning, settled = ("both are read alike" if alike(double, single) else "they are two questions"), True
    elif has_double:
        meaning, settled = "a comma has to be encoded twice, as the collector does", True
    elif has_single:
        meaning, settled = "only the single encoding finds the name: the collector sends the other one", False
    elif twice.is_data:
        meaning, settled = "no values either way: the name is spelt otherwise, or the filter is not applied", None
    else:
        meaning, settled = "names with a comma are refused", None
    return Finding(_SECTION, name, question, answer, meaning, settled=settled, value=encodings)


def _has_values(points: Mapping[int, float], whole: Mapping[int, float]) -> bool:
    """Whether a filtered series has values of its own, not those of the unfiltered one."""
    return any(points.values()) and not alike(points, whole)


def _words(exchange: Exchange) -> str:
    if not exchange.is_data:
        return f"refused ({exchange.error})" if exchange.error else "refused"
    return f"{sum(map(bool, exchange.points.values()))} values that are not zero"

"""Parse the series of an answer by dimension: shared timestamps, an array for each group, and `other` for the rest.

An answer lists the largest groups of its window. What the others have together is `other`. Where there is no `other`,
a group that is absent has nothing; otherwise its value is unknown, and Remainder says what it is at most. Where `other`
is null while it has numbers in other buckets, nothing is known of the bucket's sum, so that the bucket is left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from math import fsum
from typing import TYPE_CHECKING, Any

from collector.datasets import dataset_of
from collector.model import GroupedPoints, Normalization, Points, Remainder, is_absolute, is_known
from collector.radar.errors import Untrusted
from collector.radar.response_points import (
    folded,
    is_ascending,
    on_one_grid,
    parse_timestamps,
    parse_values,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.model import Batch, Question, Slice
    from collector.radar.response_deviations import Deviations

    Content = Mapping[str, Any]
    Columns = Mapping[str, Sequence[float | None]]

MOST_GROUPS = 1_000
"""How many groups are asked for if the API gives any number."""
_ACCEPTED_GROUPS = 5_000
_OTHER = "other"
_GROUP_CALLED_OTHER = "\0other"
_TIMESTAMPS = "timestamps"
_LONGEST_NAME = 200
_NAME_KEPT = 160
_NO_NAME = "(no name)"
_PERCENT_DIGITS = 2
"""Percentages are rounded by the API, so that their sum differs from 100 in further digits."""


def first_of_others(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs. Of two keys `other` the first is a group of that name; other equal keys raise."""
    counts = Counter(key for key, _ in pairs)
    repeated = {key for key, count in counts.items() if count > 1}
    if not repeated:
        return dict(pairs)
    if repeated != {_OTHER} or counts[_OTHER] > 2:  # noqa: PLR2004 - one group, and the rest
        raise ValueError("an object with two equal keys")
    return {_GROUP_CALLED_OTHER: next(value for key, value in pairs if key == _OTHER), **dict(pairs)}


def grouped_points(
    contents: Sequence[Content], batch: Batch, normalization: str, deviations: Deviations
) -> tuple[GroupedPoints, ...]:
    """Return the points of every slice. Raises Untrusted if a sum of the values would mean nothing, or in doubt."""
    if normalization and is_known(normalization) and not is_absolute(normalization):
        raise Untrusted(f"{normalization} values of groups are relative to one answer and have no sum")
    return on_one_grid(contents, batch, lambda content, slice_: _points(content, slice_, normalization, deviations))


def _points(content: Content, slice_: Slice, normalization: str, deviations: Deviations) -> GroupedPoints:
    moments = parse_timestamps(content[_TIMESTAMPS], slice_.window, slice_.series.agg_interval.seconds, deviations)
    arrays, doubtful = _columns(content, len(moments), deviations)
    rest = _rest(arrays, deviations)
    if rest:
        unknown = {at for at, value in enumerate(content[rest]) if value is None}
        if len(unknown) == len(moments):  # as if there were no such key
            arrays.pop(rest)
            rest = None
        elif unknown:
            deviations.note("buckets whose rest beside the listed groups is null are left out")
            doubtful |= unknown
    smallest = _smallest([values for name, values in arrays.items() if name != rest])
    order = [at for at in _order(moments, arrays, deviations) if at not in doubtful]
    columns = {name: [values[at] for at in order] for name, values in arrays.items()}
    timestamps = [moment for at in order if (moment := moments[at]) is not None]
    others = columns.pop(rest) if rest else None
    listed = _named(columns, slice_.series, deviations)
    sums = _sums([*listed.values(), *([others] if others else [])], len(timestamps), normalization)
    groups = {name: _present(timestamps, values) for name, values in listed.items()}
    kept = _present(timestamps, sums)
    if others is not None:
        remainders = _remainders(timestamps, others, smallest, deviations)
    elif 0 < slice_.series.most_groups <= len(listed):
        remainders = _unsaid_remainders(timestamps, smallest, deviations)
    else:
        remainders = {}
    return GroupedPoints(kept.timestamps, kept.values, groups, remainders)


def _order(moments: Sequence[int | None], columns: Columns, deviations: Deviations) -> Sequence[int]:
    """Return the places of the buckets in the window, ascending, each bucket once.

    Raises Untrusted for a bucket that comes with two values.
    """
    places = [at for at, moment in enumerate(moments) if moment is not None]
    starts = [moment for moment in moments if moment is not None]
    if is_ascending(starts):
        return places
    by_bucket: dict[int, int] = {}
    for at, moment in zip(places, starts, strict=True):
        first = by_bucket.setdefault(moment, at)
        if any(values[first] != values[at] for values in columns.values()):
            raise Untrusted("two values for one bucket")
    if [*by_bucket] != sorted(by_bucket):
        deviations.note("timestamps are not ascending")
    return [at for _, at in sorted(by_bucket.items())]


def _columns(
    content: Content, count: int, deviations: Deviations
) -> tuple[dict[str, Sequence[float | None]], set[int]]:
    """Return the values of each array beside the timestamps, and the places of buckets that are in doubt.

    A value that is null is absent, and None. With a value that cannot be read, a bucket has no sum.
    """
    if isinstance(content.get(_OTHER), str | int | float | dict):
        raise Untrusted("what is left beside the listed groups is no array")
    arrays = {key: values for key, values in content.items() if key != _TIMESTAMPS and isinstance(values, list)}
    if len(arrays) < len(content) - 1:
        deviations.note("a key of a series by dimension has no array")
    if [*map(folded, arrays)] in (["values"], ["value"]):
        raise Untrusted("one array of values instead of one for each group")
    if len(arrays) > _ACCEPTED_GROUPS:
        raise Untrusted(f"{len(arrays)} groups are more than {_ACCEPTED_GROUPS}")
    columns: dict[str, Sequence[float | None]] = {}
    unreadable, doubtful = 0, set[int]()
    for key, values in arrays.items():
        if len(values) != count:
            raise Untrusted(f"{count} timestamps but {len(values)} values of a group")
        columns[key], wrong = parse_values(values, deviations)
        unreadable += wrong
        if wrong:
            pairs = enumerate(zip(values, columns[key], strict=True))
            doubtful |= {at for at, (sent, value) in pairs if value is None and sent is not None}
    if unreadable * 2 > count * len(arrays):
        raise Untrusted(f"{unreadable} of {count * len(arrays)} values are no finite number")
    return columns, doubtful


def _rest(columns: Columns, deviations: Deviations) -> str | None:
    """Return the key of what is left beside the listed groups; None if nothing is."""
    if _GROUP_CALLED_OTHER in columns:
        deviations.note("two groups are called other; the last one counts as what is left")
    if _OTHER in columns:
        return _OTHER
    alike = [key for key in columns if folded(key) == _OTHER and key != _GROUP_CALLED_OTHER]
    if len(alike) != 1:
        return None
    deviations.note("what is left beside the listed groups is not spelt `other`")
    return alike[0]


def _named(columns: Columns, query: Question, deviations: Deviations) -> dict[str, Sequence[float | None]]:
    """Return the values of each group by the name that it is stored under."""
    words = {folded(word): word for word in dataset_of(query).dimensions[query.dimension].values}
    named: dict[str, Sequence[float | None]] = {}
    for key, values in columns.items():
        text = _OTHER if key == _GROUP_CALLED_OTHER else key
        name = words.get(folded(text), text) if words else _storable(text)
        if words and name != text:
            deviations.note("groups are spelt otherwise than the values of the filter")
        if name in named:
            raise Untrusted(f"two groups have one name: {name[:_LONGEST_NAME]!r}")
        named[name] = values
    return named


def _storable(text: str) -> str:
    """Return a name that every database can store and index: a very long one ends with a digest of the whole."""
    name = text_of(text) or _NO_NAME
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_NAME_KEPT]}… {hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _sums(columns: Sequence[Sequence[float | None]], count: int, normalization: str) -> list[float | None]:
    """Return the sum of each bucket; None where no column has a value."""
    if not columns:
        return [None] * count
    sums: list[float | None] = []
    for bucket in zip(*columns, strict=True):
        values = [value for value in bucket if value is not None]
        sums.append(fsum(values) if values else None)
    if normalization == Normalization.PERCENTAGE:
        return [None if total is None else round(total, _PERCENT_DIGITS) for total in sums]
    return sums


def _present(timestamps: Sequence[int], values: Sequence[float | None]) -> Points:
    points = [(moment, value) for moment, value in zip(timestamps, values, strict=True) if value is not None]
    return Points([moment for moment, _ in points], [value for _, value in points])


def _smallest(listed: Sequence[Sequence[float | None]]) -> float | None:
    """Return the least that a listed group has in the whole answer; None if every one lacks a value.

    The largest groups of the window are listed, so no other one has more in it, and in none of its buckets.
    """
    return min((fsum(values) for values in listed if None not in values), default=None)  # type: ignore[arg-type]


def _remainders(
    timestamps: Sequence[int], others: Sequence[float | None], smallest: float | None, deviations: Deviations
) -> dict[int, Remainder]:
    """Return what is left beside the listed groups.

    A negative number bounds no group, so *smallest* alone does. If *smallest* is 0, the largest groups are not what is
    listed, so it bounds none.
    """
    remainders = {}
    for at, other in zip(timestamps, others, strict=True):
        if other is not None and other < 0:
            deviations.note("what is left beside the listed groups is negative")
        left = other if other is None or other >= 0 else smallest
        if left:
            remainders[at] = Remainder(left, smallest or left)
    return remainders


def _unsaid_remainders(
    timestamps: Sequence[int], smallest: float | None, deviations: Deviations
) -> dict[int, Remainder]:
    """Return what may be left beside as many groups as were asked for, where nothing says it."""
    deviations.note("as many groups as were asked for, and nothing says what is left")
    if not timestamps:
        return {}
    if smallest is None:
        raise Untrusted("as many groups as were asked for, all of these lack values, and nothing says what is left")
    return dict.fromkeys(timestamps, Remainder(smallest, smallest))

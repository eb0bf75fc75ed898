"""Variations of the buckets of a series: their order, their number, and values that are no numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.simulator.odd.variation import Draft, Variation, is_marked, verbatim
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    Points = list[tuple[Any, Any]]

_GROUP = "buckets"
_SHUFFLE = 7919  # a prime: multiples of it, modulo another number, are in no order that shows
_BEYOND = 2**53 + 1


def _on_points(arrange: Callable[[Points, int], Points]) -> Callable[[Draft], None]:
    """Arrange (timestamp, value) of every series anew; a timestamp that stays an integer is written as usual."""

    def change(draft: Draft) -> None:
        for one, points in zip(draft.series, draft.points(), strict=True):
            arranged = arrange([*points], draft.step)
            one["timestamps"] = [_written(moment) for moment, _ in arranged]
            one["values"] = [value for _, value in arranged]

    return change


def _written(moment: Any) -> Any:
    return rfc3339(from_epoch(moment)) if isinstance(moment, int) else moment


def _in_place(of_marked: Any, *, others: bool = False) -> Callable[[Draft], None]:
    """Return a change that replaces the value of every marked bucket, or of all others."""
    return _on_points(
        lambda points, step: [(at, of_marked if is_marked(at, step) != others else value) for at, value in points]
    )


def _twice(points: Points, step: int) -> Points:
    return [point for point in points for _ in range(2 if is_marked(point[0], step) else 1)]


def _two_values(points: Points, _: int) -> Points:
    return [*points, *((at, f"{value}1") for at, value in points[:1])]


def _without_timestamps(points: Points, step: int) -> Points:
    return [(None if is_marked(at, step) else at, value) for at, value in points]


def _outside(draft: Draft) -> None:
    """Add the bucket before the window and, if there is one, the bucket after it."""
    for requested, one in zip(draft.request.series, draft.series, strict=True):
        for start in (requested.start - draft.step, requested.end):
            moments, texts = draft.honest(requested.query, start, start + draft.step)
            one["timestamps"] += [rfc3339(from_epoch(moment)) for moment in moments]
            one["values"] += texts


def _ends(points: Points, step: int) -> Points:
    return [(at + step, value) for at, value in points]


def _several_grids(points: Points, step: int) -> Points:
    return [(at + 60 * is_marked(at, step), value) for at, value in points]


def _fewer(key: str) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        for one in draft.series:
            one[key] = one[key][:-1]

    return change


def _elsewhere(points: Points, step: int) -> Points:
    return [(at - 400 * 86_400 // step * step, value) for at, value in points]


_TAKEN = (
    ("buckets-descending", "order", "The newest bucket first", lambda points, _: points[::-1]),
    (
        "buckets-shuffled",
        "order",
        "Buckets in no order",
        lambda points, step: sorted(points, key=lambda point: point[0] // step * _SHUFFLE % 1009),
    ),
    ("buckets-twice", "twice", "Every fifth bucket twice, with the same value", _twice),
)
_REFUSED = (
    ("buckets-two-values", "twice", "One bucket twice, with two values", _two_values),
    ("buckets-several-grids", "moved", "Every fifth timestamp a minute late: a mixture of grids", _several_grids),
    ("buckets-by-their-ends", "moved", "Timestamps are the ends of buckets, so all are one bucket late", _ends),
    ("buckets-elsewhere", "moved", "Timestamps of the year before", _elsewhere),
)
_IN_PLACE = (
    ("null", None, "null"),
    ("empty", "", "an empty text"),
    ("nan-text", "NaN", "the text NaN"),
    ("infinity-text", "-Infinity", "the text -Infinity"),
    ("1e999", "1e999", "the text 1e999"),
    ("1e999-number", verbatim("1e999"), "the number 1e999"),
    ("word", "n/a", "a word"),
    ("true", True, "true"),
    ("grouped", "1,234", "a number with a separator of thousands, which is not guessed"),
    ("percent", "12 %", "a number with a sign behind it, which is not guessed"),
    ("unit", "5 certificates", "a number with its unit behind it, which is not guessed"),
    ("other-digits", "\u0661\u0662", "digits of another script, which are not guessed"),
    ("two-in-list", ["1", "2"], "a list of two values"),
)
_REFUSED_IN_PLACE = (
    ("nan", verbatim("NaN"), "the bare word NaN, which is not JSON"),
    ("infinity", verbatim("-Infinity"), "the bare word -Infinity, which is not JSON"),
    ("beyond", str(_BEYOND), "2^53 + 1, which a double may not hold"),
    ("beyond-number", _BEYOND, "the number 2^53 + 1, which a double may not hold"),
)

BUCKETS = (
    *(Variation(name, _GROUP, line, "take", f"buckets.{part}", _on_points(do)) for name, part, line, do in _TAKEN),
    Variation(
        "buckets-outside", _GROUP, "A bucket before and behind the window too", "leave out", "buckets.beside", _outside
    ),
    Variation(
        "timestamps-null",
        _GROUP,
        "Every fifth timestamp is null",
        "leave out",
        "buckets",
        _on_points(_without_timestamps),
        loses="marked",
    ),
    *(Variation(name, _GROUP, line, "refuse", f"buckets.{part}", _on_points(do)) for name, part, line, do in _REFUSED),
    *(
        Variation(
            f"values-some-{name}",
            _GROUP,
            f"Every fifth value is {what}",
            "leave out",
            "buckets.value",
            _in_place(content),
            loses="marked",
        )
        for name, content, what in _IN_PLACE
    ),
    Variation(
        "values-most-null",
        _GROUP,
        "Four of five values are null",
        "leave out",
        "buckets.value",
        _in_place(None, others=True),
        loses="others",
    ),
    Variation(
        "values-most-words",
        _GROUP,
        "Four of five values are words: more than half is unreadable",
        "refuse",
        "buckets.value",
        _in_place("n/a", others=True),
    ),
    *(
        Variation(
            f"values-some-{name}", _GROUP, f"Every fifth value is {what}", "refuse", "buckets.value", _in_place(content)
        )
        for name, content, what in _REFUSED_IN_PLACE
    ),
    Variation(
        "empty",
        _GROUP,
        "No bucket at all: empty arrays",
        "take",
        "buckets",
        _on_points(lambda _, __: []),
        loses="all",
    ),
    # last, because the others need arrays of one length
    *(
        Variation(
            f"{key}-short",
            _GROUP,
            f"Of {key} the last one is missing",
            "refuse",
            "buckets.length series.shape",
            _fewer(key),
        )
        for key in ("timestamps", "values")
    ),
)

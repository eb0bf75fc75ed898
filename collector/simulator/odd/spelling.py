"""Variations of the buckets of a series: how a timestamp or value is written, their order, their number, no numbers."""

from __future__ import annotations

from datetime import timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from collector.simulator.odd.variation import (
    Draft,
    Variation,
    arrays_of,
    epoch,
    is_marked,
    on_timestamps,
    on_values,
    verbatim,
)
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    Points = list[tuple[Any, Any]]

_DAY = 86_400
_FIT = "timestamps buckets.beside"
"""The part of those that are read only if all fit the window."""
_ALL = "buckets.all"
"""The part of those that are refused because all buckets are odd; without buckets there is nothing to refuse."""


def formatted(pattern: str) -> Callable[[int], str]:
    """Return a function that writes epoch seconds in UTC by a pattern of strftime."""
    return lambda seconds: format(from_epoch(seconds), pattern)


def in_zone(hours: float, pattern: str = "") -> Callable[[int], str]:
    """Return a function that writes epoch seconds in another zone: by *pattern*, or with its offset."""
    zone = timezone(timedelta(hours=hours))

    def spell(seconds: int) -> str:
        local = from_epoch(seconds).astimezone(zone)
        return format(local, pattern) if pattern else local.isoformat()

    return spell


MOMENTS: tuple[tuple[str, str, Callable[[int], Any]], ...] = (
    ("milliseconds", "with three zeros behind the seconds", formatted("%Y-%m-%dT%H:%M:%S.000Z")),
    ("nanoseconds", "with nine zeros behind the seconds", formatted("%Y-%m-%dT%H:%M:%S.000000000Z")),
    ("lowercase", "with a small t and z", formatted("%Y-%m-%dt%H:%M:%Sz")),
    ("offset-zero", "with +00:00 for Z", in_zone(0)),
    ("offset-unknown", "with -00:00 for Z", formatted("%Y-%m-%dT%H:%M:%S-00:00")),
    ("offset-east", "an hour east of Greenwich", in_zone(1)),
    ("offset-west", "five hours west of Greenwich", in_zone(-5)),
    ("offset-quarter", "in Nepal, +05:45", in_zone(5.75)),
    ("offset-compact", "with an offset without a colon", in_zone(1, "%Y-%m-%dT%H:%M:%S%z")),
    ("offset-hours", "with an offset of hours alone", in_zone(2, "%Y-%m-%dT%H:%M:%S+02")),
    ("minutes", "without seconds", formatted("%Y-%m-%dT%H:%MZ")),
    ("blank", "with a blank for the T", formatted("%Y-%m-%d %H:%M:%SZ")),
    ("blank-zone", "with a blank before the Z", formatted("%Y-%m-%dT%H:%M:%S Z")),
    ("utc-word", "with UTC for Z", formatted("%Y-%m-%d %H:%M:%S UTC")),
    ("gmt-word", "with GMT for Z", formatted("%Y-%m-%dT%H:%M:%SGMT")),
    ("comma", "with a comma before the fraction", formatted("%Y-%m-%dT%H:%M:%S,000Z")),
    ("padded", "with blanks around", formatted("  %Y-%m-%dT%H:%M:%SZ ")),
    ("slashes", "as 2026/03/01 00:00:00Z", formatted("%Y/%m/%d %H:%M:%SZ")),
    ("http-date", "as HTTP writes dates", lambda seconds: format_datetime(from_epoch(seconds), usegmt=True)),
    ("naive", "without a zone", formatted("%Y-%m-%dT%H:%M:%S")),
    ("naive-blank", "without a zone, with a blank for the T", formatted("%Y-%m-%d %H:%M:%S")),
    ("epoch", "as seconds since 1970", lambda seconds: seconds),
    ("epoch-float", "as seconds since 1970, 5.0", float),
    ("epoch-text", "as a text of seconds since 1970", str),
    ("epoch-milliseconds", "as milliseconds since 1970", lambda seconds: seconds * 10**3),
    ("epoch-milliseconds-text", "as a text of milliseconds since 1970", lambda seconds: str(seconds * 10**3)),
    ("epoch-microseconds", "as microseconds since 1970", lambda seconds: seconds * 10**6),
    ("epoch-nanoseconds", "as nanoseconds since 1970", lambda seconds: seconds * 10**9),
    ("list", "as a list of one", lambda seconds: [rfc3339(from_epoch(seconds))]),
    ("object", "as an object of one member", lambda seconds: {"value": rfc3339(from_epoch(seconds))}),
)
"""(name, line, how epoch seconds are written): no moment is changed by any of these."""


def _by_turns(draft: Draft) -> None:
    """Write every second timestamp in another zone: the same moments on the same grid."""
    for series in draft.series:
        zones = (in_zone(0), in_zone(1), in_zone(-5))
        series["timestamps"] = [text and zones[n % 3](epoch(text)) for n, text in enumerate(series["timestamps"])]


def _dates(draft: Draft) -> None:
    """Write the date alone if every bucket begins at midnight."""
    for series in draft.series:
        texts = series["timestamps"]
        if not any(epoch(text) % _DAY for text in texts if text):
            series["timestamps"] = [text and text[:10] for text in texts]


def _spans(draft: Draft) -> None:
    """Write start and end of every bucket."""
    for series in draft.series:
        series["timestamps"] = [
            text and {"start": text, "end": rfc3339(from_epoch(epoch(text) + draft.step))}
            for text in series["timestamps"]
        ]


_REFUSED_MOMENTS = (
    ("basic", "as 20260301T000000Z", formatted("%Y%m%dT%H%M%SZ")),
    ("local", "in a local time that does not say so, five hours behind", in_zone(-5, "%Y-%m-%dT%H:%M:%S")),
    ("day-first", "with the day first, which some write with the month first", formatted("%d/%m/%Y %H:%M:%S")),
    ("no-year", "without the year", formatted("%m-%dT%H:%M:%SZ")),
    ("words", "as words", lambda seconds: f"{(2_000_000_000 - seconds) // 3600} hours before 2033"),
    ("true", "as true", lambda _: True),
)


def _part(name: str) -> str:
    """Return what a spelling of timestamps changes; an object has a key, too, whose case counts."""
    if name.startswith("naive"):
        return _FIT
    return "timestamps keys" if name == "object" else "timestamps"


TIMESTAMPS = (
    *(
        Variation(
            f"timestamps-{name}",
            "timestamps",
            f"Timestamps {line}",
            "take",
            _part(name),
            on_timestamps(spell),
        )
        for name, line, spell in MOMENTS
    ),
    Variation(
        "timestamps-by-turns", "timestamps", "Timestamps in three zones by turns", "take", "timestamps", _by_turns
    ),
    Variation("timestamps-dates", "timestamps", "The date alone, at 1d and 1w", "take", _FIT, _dates),
    Variation("timestamps-spans", "timestamps", "Objects of start and end", "take", "timestamps keys", _spans),
    *(
        Variation(
            f"timestamps-{name}",
            "timestamps",
            f"Timestamps {line}",
            "refuse",
            f"timestamps {_ALL}.timestamps",
            on_timestamps(spell),
        )
        for name, line, spell in _REFUSED_MOMENTS
    ),
)


def _exponent(text: str) -> str:
    """Write the same number with an exponent, without the loss of a digit."""
    whole, _, fraction = text.partition(".")
    return f"{whole}{fraction}e-{len(fraction)}" if fraction else f"{whole}e0"


def _point_first(text: str) -> str:
    """Write the same integer as a decimal of one digit with an exponent."""
    return f"{text[0]}.{text[1:]}E+{len(text) - 1}" if text.isdigit() and len(text) > 1 else text


def _with_zeros(text: str) -> str:
    return text + ("0" * 30 if "." in text else "." + "0" * 30)


def _with_a_digit(text: str) -> str:
    return text + ("1" if "." in text else ".00000000000000000000000001")


def _mixed(draft: Draft) -> None:
    for series in draft.series:
        for key in arrays_of(series):
            series[key] = [
                verbatim(text) if n % 2 and isinstance(text, str) and text.isdecimal() else text
                for n, text in enumerate(series[key])
            ]


def _grouped(text: str) -> str:
    return f"{int(text):,}" if text.isdigit() and len(text) > 3 else "0,000"  # noqa: PLR2004 - digits in a group


_VALUES = (
    ("numbers", "as JSON numbers", verbatim),
    ("floats", "as JSON numbers with a point, 5.0", lambda text: verbatim(text if "." in text else f"{text}.0")),
    ("exponents", "as JSON numbers with an exponent", lambda text: verbatim(_exponent(text))),
    ("decimals", "as text with a point, 5.0", lambda text: text if "." in text else f"{text}.0"),
    ("exponent-text", "as text with an exponent", _exponent),
    ("exponent-upper", "as text, 1.5E+3", _point_first),
    ("zeros", "with thirty zeros behind the point", _with_zeros),
    ("zeros-in-front", "with zeros in front", lambda text: f"000{text}"),
    ("plus", "with a plus sign", lambda text: f"+{text}"),
    ("padded", "with blanks around", lambda text: f" {text}\t"),
    ("digits", "with more digits than a double holds: the nearest double, noted", _with_a_digit),
)

VALUES = (
    *(
        Variation(f"values-{name}", "values", f"Values {line}", "take", "values", on_values(spell))
        for name, line, spell in _VALUES
    ),
    Variation("values-mixed", "values", "Text and numbers by turns", "take", "values", _mixed),
    Variation(
        "values-grouped",
        "values",
        "Values as 1,234, which is not guessed",
        "refuse",
        f"values {_ALL}.values",
        on_values(_grouped),
    ),
    Variation(
        "values-hexadecimal",
        "values",
        "Values as 0x4d2, which is not guessed",
        "refuse",
        f"values {_ALL}.values",
        on_values(lambda text: hex(int(float(text)))),
    ),
    Variation(
        "values-lists",
        "values",
        "Values as lists of one: no numbers",
        "refuse",
        f"values {_ALL}.values",
        on_values(lambda text: [text]),
    ),
    Variation(
        "values-objects",
        "values",
        "Values as objects of one member: no numbers",
        "refuse",
        f"values {_ALL}.values",
        on_values(lambda text: {"value": text}),
    ),
    Variation(
        "values-pairs",
        "values",
        "Two numbers for one bucket",
        "refuse",
        f"values {_ALL}.values",
        on_values(lambda text: [text, text]),
    ),
)


_GROUP = "buckets"
_SHUFFLE = 7919  # a prime: multiples of it, modulo another number, are in no order that shows
_BEYOND = 2**53 + 1


def _on_points(arrange: Callable[[Points, int], Points]) -> Callable[[Draft], None]:
    """Arrange (timestamp, value) of every series anew; a timestamp that stays an integer is written as usual."""

    def change(draft: Draft) -> None:
        for series in draft.series:
            starts = [epoch(moment) for moment in series["timestamps"]]
            for key in arrays_of(series):
                arranged = arrange([*zip(starts, series[key], strict=True)], draft.step)
                series["timestamps"] = [_written(moment) for moment, _ in arranged]
                series[key] = [value for _, value in arranged]

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
    for requested, series in zip(draft.request.series, draft.series, strict=True):
        for start in (requested.start - draft.step, requested.end):
            moments, texts = draft.honest(requested.query, start, start + draft.step)
            series["timestamps"] += [rfc3339(from_epoch(moment)) for moment in moments]
            for key in arrays_of(series):
                series[key] += texts


def _ends(points: Points, step: int) -> Points:
    return [(at + step, value) for at, value in points]


def _several_grids(points: Points, step: int) -> Points:
    return [(at + 60 * is_marked(at, step), value) for at, value in points]


def _fewer(of_timestamps: bool) -> Callable[[Draft], None]:  # noqa: FBT001 - one of two keys
    def change(draft: Draft) -> None:
        for series in draft.series:
            key = "timestamps" if of_timestamps else arrays_of(series)[0]
            series[key] = series[key][:-1]

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
    ("buckets-two-values", "twice buckets.value", "One bucket twice, with two values", _two_values),
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
        "buckets.value buckets.all.values",
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
            _fewer(key == "timestamps"),
        )
        for key in ("timestamps", "values")
    ),
)

"""Variations of how one timestamp or one value is written."""

from __future__ import annotations

from datetime import timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from collector.simulator.odd.variation import Draft, Variation, epoch, on_timestamps, on_values, verbatim
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

_DAY = 86_400
_FIT = "timestamps buckets.beside"
"""The part of those that are read only if all fit the window."""


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
    for one in draft.series:
        zones = (in_zone(0), in_zone(1), in_zone(-5))
        one["timestamps"] = [text and zones[n % 3](epoch(text)) for n, text in enumerate(one["timestamps"])]


def _dates(draft: Draft) -> None:
    """Write the date alone if every bucket begins at midnight."""
    for one in draft.series:
        texts = one["timestamps"]
        if not any(epoch(text) % _DAY for text in texts if text):
            one["timestamps"] = [text and text[:10] for text in texts]


def _spans(draft: Draft) -> None:
    """Write start and end of every bucket."""
    for one in draft.series:
        one["timestamps"] = [
            text and {"start": text, "end": rfc3339(from_epoch(epoch(text) + draft.step))} for text in one["timestamps"]
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
            f"timestamps-{name}", "timestamps", f"Timestamps {line}", "refuse", "timestamps", on_timestamps(spell)
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
    for one in draft.series:
        one["values"] = [
            verbatim(text) if n % 2 and isinstance(text, str) and text.isdecimal() else text
            for n, text in enumerate(one["values"])
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
        "values-grouped", "values", "Values as 1,234, which is not guessed", "refuse", "values", on_values(_grouped)
    ),
    Variation(
        "values-hexadecimal",
        "values",
        "Values as 0x4d2, which is not guessed",
        "refuse",
        "values",
        on_values(lambda text: hex(int(float(text)))),
    ),
    Variation(
        "values-lists",
        "values",
        "Values as lists of one: no numbers",
        "refuse",
        "values",
        on_values(lambda text: [text]),
    ),
    Variation(
        "values-objects",
        "values",
        "Values as objects of one member: no numbers",
        "refuse",
        "values",
        on_values(lambda text: {"value": text}),
    ),
    Variation(
        "values-pairs", "values", "Two numbers for one bucket", "refuse", "values", on_values(lambda text: [text, text])
    ),
)

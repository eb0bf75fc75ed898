"""Words for the width of a bucket: the API's own, and what else says the same beyond doubt."""

from __future__ import annotations

import re

from collector.model import AggInterval
from collector.radar.scalars import folded

_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000}
_NUMBERS = {"one": 1, "two": 2, "five": 5, "six": 6, "ten": 10, "twelve": 12, "fifteen": 15, "thirty": 30}
_SHORT = {"s": 1, "sec": 1, "min": 60, "mins": 60, "h": 3_600, "hr": 3_600, "d": 86_400, "w": 604_800, "mo": 2_592_000}
_ADVERBS = {"hourly": 3_600, "daily": 86_400, "weekly": 604_800, "monthly": 2_592_000}
_UNITS = {**_SECONDS, **{f"{name}s": seconds for name, seconds in _SECONDS.items()}, **_SHORT}
_COUNTED = re.compile(rf"([0-9]{{1,6}}|{'|'.join(_NUMBERS)})?([a-z]+)")
_DURATION = re.compile(r"P(?:([0-9]{1,4})W|([0-9]{1,4})D)?(?:T(?:([0-9]{1,5})H)?(?:([0-9]{1,5})M)?(?:([0-9]{1,7})S)?)?")
_DURATION_UNITS = (604_800, 86_400, 3_600, 60, 1)
_PLAIN_MINUTES = re.compile(r"([0-9]{1,5}) ?m")
_KNOWN = {folded(word): interval.seconds for interval in AggInterval for word in (interval.name, interval.value)}


def seconds_of(content: object) -> int | None:
    """Return how many seconds wide buckets are by this word; None for what says nothing.

    A bare number counts as seconds where it is the width of an interval; a capital M alone may be a month.
    """
    if isinstance(content, int) and not isinstance(content, bool):
        return content if content in _KNOWN.values() else None
    if not isinstance(content, str):
        return None
    text = content.strip()
    if (known := _KNOWN.get(folded(text))) is not None:
        return known
    if text.isascii() and text.isdigit():
        return seconds_of(int(text[:10]))
    return _of_duration(text) or _counted(folded(text))


def _of_duration(text: str) -> int | None:
    """Read `PT15M`, `P1D`, `60m`."""
    if minutes := _PLAIN_MINUTES.fullmatch(text):
        return int(minutes[1]) * 60
    duration = _DURATION.fullmatch(text)
    if duration is None:
        return None
    counts = (int(part or 0) for part in duration.groups())
    return sum(count * seconds for count, seconds in zip(counts, _DURATION_UNITS, strict=True))


def _counted(word: str) -> int | None:
    """Read `fifteenminutes`, `1hour`, `hour`, `hourly`."""
    if word in _ADVERBS:
        return _ADVERBS[word]
    match = _COUNTED.fullmatch(word)
    if match is None or match[2] not in _UNITS:
        return None
    if match[1] is None:
        return _UNITS[match[2]] if match[2] in _SECONDS else None
    return int(_NUMBERS.get(match[1], match[1])) * _UNITS[match[2]]

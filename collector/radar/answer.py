"""From bytes to a trusted answer: what came back is what was asked, whole and exact, or all of it is refused.

Python's own JSON and number parsers take more than JSON allows (NaN, 1_000, digits of other scripts, the last of two
equal keys), so each of these is refused here by name.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

from collector.model import Answer, Points, from_epoch, rfc3339
from collector.radar.errors import Untrusted
from collector.radar.meta import read_meta
from collector.radar.query import series_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.model import Batch, Window

_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_NUMBERS = re.compile(rf"(?:{_NUMBER}\n)*")
_COUNTS = re.compile(r"(?:[0-9]{1,15}\n)*")
_TIMESTAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.0{1,9})?Z")
_DAY = 86_400
_EXACT_DIGITS = 15  # every decimal of so few digits comes back unchanged from a double
_LONGEST_NUMBER = 400
_SHOWN = 40


class Unsuccessful(Untrusted):
    """The envelope says `success: false`; its errors say why."""


def read_answer(body: bytes, batch: Batch) -> Answer:
    """Read the JSON *body* of a 200 as the answer to *batch*; or raise Untrusted for the whole."""
    result = read_result(body)
    meta = read_meta(result.get("meta"), batch)
    names = series_names(batch)
    for name, content in result.items():
        if name not in names and isinstance(content, dict) and "values" in content:
            raise Untrusted(f"a series {_short(name)} that was not asked for")
    points = tuple(
        _points(name, result.get(name), piece.window, batch.agg_interval.seconds)
        for name, piece in zip(names, batch.slices, strict=True)
    )
    return Answer(meta, points)


def read_result(body: bytes) -> Mapping[str, Any]:
    """Open the envelope: `result` of a document that says `success: true`."""
    document = read_json(body)
    if not isinstance(document, dict):
        raise Untrusted("the document is not an object")
    if document.get("success") is not True:
        raise Unsuccessful("the envelope does not say success: true")
    result = document.get("result")
    if not isinstance(result, dict):
        raise Untrusted("result is not an object")
    return result


def read_json(body: bytes) -> Any:
    """Decode strict JSON in UTF-8: no byte-order mark, no NaN, no two equal keys, nothing behind the document."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise Untrusted("JSON nested too deeply") from None
    except UnicodeDecodeError:
        raise Untrusted("not UTF-8") from None
    except ValueError as error:
        raise Untrusted(f"not JSON: {str(error)[:100]}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("an object with two equal keys")
    return mapping


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _points(name: str, content: Any, window: Window, step: int) -> Points:
    if not isinstance(content, dict):
        raise Untrusted(f"no series {name}")
    timestamps, values = content.get("timestamps"), content.get("values")
    if not isinstance(timestamps, list) or not isinstance(values, list):
        raise Untrusted(f"{name}: timestamps and values are not both arrays")
    if len(timestamps) != len(values):
        raise Untrusted(f"{name}: {len(timestamps)} timestamps beside {len(values)} values")
    return Points(read_timestamps(timestamps, window, step), read_values(values))


def read_timestamps(texts: Sequence[Any], window: Window, step: int) -> Sequence[int]:
    """Turn timestamps into epoch seconds: UTC, ascending, on the bucket grid, inside *window*."""
    seconds, usual = _usual(window, step)
    if texts == usual:  # nothing is missing and all is spelt as usual, which one comparison of lists shows
        return seconds
    read = [_timestamp(text) for text in texts]
    if any(later <= earlier for earlier, later in pairwise(read)):
        raise Untrusted("timestamps are not ascending")
    for timestamp in read:
        if timestamp not in seconds:
            raise Untrusted(f"timestamp {rfc3339(from_epoch(timestamp))} is off the grid or outside {window}")
    return read


@lru_cache(maxsize=8)
def _usual(window: Window, step: int) -> tuple[range, list[str]]:
    seconds = range(int(window.start.timestamp()), int(window.end.timestamp()), step)
    days = {day: rfc3339(from_epoch(day * _DAY))[:11] for day in range(seconds.start // _DAY, seconds.stop // _DAY + 1)}
    return seconds, [days[second // _DAY] + _time_of_day(second % _DAY) for second in seconds]


@cache
def _time_of_day(second: int) -> str:
    return rfc3339(from_epoch(second))[11:]


def _timestamp(text: Any) -> int:
    match = _TIMESTAMP.fullmatch(text) if isinstance(text, str) else None
    try:
        return int(datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp()) if match else _no_timestamp(text)
    except ValueError:
        return _no_timestamp(text)


def _no_timestamp(text: Any) -> int:
    raise Untrusted(f"{_short(text)} is not a timestamp in UTC")


def read_values(texts: Sequence[Any]) -> list[float]:
    """Turn decimal texts into doubles that print as the same number: finite and exact, or refused."""
    try:
        joined = "\n".join(texts) + "\n" if texts else ""
        if _COUNTS.fullmatch(joined):  # by far the most, exact as they are, and read in half the time by way of int
            return [*map(float, map(int, texts))]
        values = [*map(float, texts)]
    except (TypeError, ValueError):
        raise Untrusted(f"{_short(next(filter(_is_no_number, texts)))} is not a number as text") from None
    if not _NUMBERS.fullmatch(joined):
        raise Untrusted(f"{_short(next(filter(_is_no_number, texts)))} is not a number as text")
    if "e" in joined or "E" in joined or max(map(len, texts), default=0) > _EXACT_DIGITS:
        _check_exact(texts, values)
    return [value + 0.0 for value in values] if "-" in joined else values  # -0 becomes 0


def _is_no_number(text: Any) -> bool:
    return not isinstance(text, str) or not re.fullmatch(_NUMBER, text)


def _check_exact(texts: Sequence[str], values: Sequence[float]) -> None:
    for text, value in zip(texts, values, strict=True):
        if not isfinite(value) or len(text) > _LONGEST_NUMBER or Decimal(text) != Decimal(repr(value)):
            raise Untrusted(f"{_short(text)} does not fit a double exactly")


def _short(text: Any) -> str:
    shown = ascii(text)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"

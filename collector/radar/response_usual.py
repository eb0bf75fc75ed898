"""Parse an answer of the documented form, by far the most frequent, in a fraction of the time.

`parse_any` of `response.py` decides what an answer means; this module returns the same Answer, or None if it is not
certain to. So it may only read what it can prove to be the same:

orjson keeps the last of two equal keys, turns integers beyond 64 bits into floats and does not keep the spelling of a
float. Two equal keys show in the number of commas: what orjson returns has fewer than the body. A float that is not
part of a text is left to `parse_any`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from collector.model import Answer, Points
from collector.radar.errors import RadarError
from collector.radar.request import series_names
from collector.radar.response_deviations import Deviations
from collector.radar.response_meta import names_interval, parse_meta
from collector.radar.response_points import (
    expected_timestamps,
    is_ascending,
    parse_exact_or_null,
    parse_exact_values,
    parse_usual_timestamps,
    without_absent,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.model import Batch, Slice, Window

    Content = Mapping[str, Any]

_MAX_BYTES = 524_288
_MAX_BUCKET_BYTES = 64
"""These are half of what the client accepts, so that orjson never needs more memory than `parse_any` may need."""
_ARRAYS = {"timestamps", "values"}
_FLOAT = re.compile(rb"[:\[,]-?[0-9]+[.e][0-9.e+-]*[,\]}]")
_KEY = b'"timestamps":['
_WIDTH = len('"2026-03-02T00:00:00Z",')
_MAX_RUNS = 16
_REPLACED = "timestamps of slice "
_ESCAPED_COMMAS = (rb"\u002c", rb"\u002C")


def parse_usual(body: bytes, batch: Batch) -> Answer | None:
    """Return the Answer that `parse_any` returns; None if it may return another one, or rejects *body*."""
    if len(body) > _MAX_BYTES + _MAX_BUCKET_BYTES * batch.buckets or not batch.buckets:
        return None
    short_body, replaced = _shorten(body, batch)
    document, names = _parse_json(short_body), series_names(batch)
    result = _usual_result(document, names)
    if result is None:
        return None
    of_values, deviations = Deviations(), Deviations()
    contents = [result[name] for name in names]
    series = [
        _usual_points(content, slice_, replaced, of_values)
        for content, slice_ in zip(contents, batch.slices, strict=True)
    ]
    points = tuple(points for points in series if points is not None)
    rest = {**document, "result": {**result, **dict.fromkeys(names)}}
    if len(points) < len(names) or not _is_whole(short_body, rest, contents):
        return None
    try:
        meta = parse_meta(result["meta"], batch, deviations)
    except RadarError:
        return None
    return Answer(meta, points, deviations=tuple(deviations.kinds | of_values.kinds))


class _Replaced(NamedTuple):
    """The starts of buckets of *window* in an array that was replaced."""

    window: Window
    moments: Sequence[int]


def _shorten(body: bytes, batch: Batch) -> tuple[bytes, dict[str, _Replaced]]:
    """Replace arrays of timestamps with at most a few gaps, so that they are compared, but not parsed.

    Also return what was replaced, by the text in its place. Valid JSON stays valid, and invalid JSON invalid: both
    arrays begin with a bracket, a quote and a character that cannot follow a closing quote, and end with a quote and a
    bracket. So neither array is valid if the place is inside of a text.
    """
    replaced: dict[str, _Replaced] = {}
    parts: list[bytes] = []
    end = start = 0
    for slice_ in batch.slices:
        start = body.find(_KEY, start) + len(_KEY)
        stop = body.find(b"]", start)
        if start < len(_KEY) or stop < 0:
            break
        moments = _parse_runs(body[start:stop] + b",", slice_)
        if moments:
            text = f"{_REPLACED}{len(replaced)}"
            replaced[text] = _Replaced(slice_.window, moments)
            parts += [body[end:start], f'"{text}"'.encode()]
            end = stop
        start = stop
    return b"".join([*parts, body[end:]]), replaced


def _parse_runs(written: bytes, slice_: Slice) -> Sequence[int] | None:
    """Return the buckets in *written*, with a comma behind each; None unless they ascend and have few gaps."""
    step = slice_.series.agg_interval.seconds
    seconds, _ = expected_timestamps(slice_.window, step)
    complete = _complete_array(slice_.window, step)
    if written == complete:
        return seconds
    runs: list[range] = []
    begin = start = 0
    while begin < len(written) and len(runs) < _MAX_RUNS:
        start = complete.find(written[begin : begin + _WIDTH], start)
        if start < 0 or start % _WIDTH:
            return None
        length = _equal_length(written, begin, complete, start)
        begin, start, first = begin + length, start + length, start // _WIDTH
        runs.append(seconds[first : first + length // _WIDTH])
    return [*chain.from_iterable(runs)] if begin == len(written) else None


@lru_cache(maxsize=8)
def _complete_array(window: Window, step: int) -> bytes:
    """Return the timestamps of all buckets of *window* without blanks, with a comma behind each."""
    return orjson.dumps(expected_timestamps(window, step)[1])[1:-1] + b","


def _equal_length(written: bytes, begin: int, complete: bytes, start: int) -> int:
    """Return the length of the longest equal parts from *begin* and *start* on, whole timestamps, at least one."""
    length = size = _WIDTH
    grows = True
    while size >= _WIDTH:
        part = written[begin + length : begin + length + size]
        if part and part == complete[start + length : start + length + size]:
            length += len(part)
            size = size * 2 if grows else size // 2
        else:
            size, grows = size // 2, False
    return length


def _parse_json(body: bytes) -> Any:
    """Return what orjson returns for *body*; None if orjson rejects it."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _usual_result(document: Any, names: Sequence[str]) -> Content | None:
    """Return `result` if it has the requested series, a meta that names the interval, and nothing else."""
    if not isinstance(document, dict) or document.get("success") is not True:
        return None
    result = document.get("result")
    if not isinstance(result, dict) or result.keys() != {"meta", *names} or not names_interval(result["meta"]):
        return None
    return result


def _usual_points(content: Any, slice_: Slice, replaced: dict[str, _Replaced], deviations: Deviations) -> Points | None:
    """Return the points of one series; None unless all timestamps are ascending bucket starts and all values exact."""
    if not isinstance(content, dict) or content.keys() != _ARRAYS:
        return None
    moments, values = _usual_moments(content["timestamps"], slice_, replaced), content["values"]
    if moments is None or not isinstance(values, list) or len(moments) != len(values):
        return None
    if (numbers := parse_exact_values(values)) is not None:
        return Points(moments, numbers)
    some = parse_exact_or_null(values, deviations)
    return None if some is None else without_absent(moments, some)


def _usual_moments(timestamps: Any, slice_: Slice, replaced: dict[str, _Replaced]) -> Sequence[int] | None:
    """Return ascending starts of buckets; None for anything else. A replaced array counts once, so it is removed."""
    if not isinstance(timestamps, list):
        return None
    array = replaced.pop(str(timestamps[0]), None) if len(timestamps) == 1 else None
    if array is not None:
        return array.moments if array.window == slice_.window else None
    moments = parse_usual_timestamps(timestamps, slice_.window, slice_.series.agg_interval.seconds)
    return moments if moments is not None and is_ascending(moments) else None


def _is_whole(body: bytes, rest: Content, contents: Sequence[Content]) -> bool:
    """Return whether orjson has kept everything in *body*: *rest*, and the two arrays of each of *contents*.

    No entry of the arrays contains a comma or is a float. If the text of a replaced array is in *rest*, the array was
    not the timestamps of a series.
    """
    if b"\\" in body and any(escaped in body for escaped in _ESCAPED_COMMAS):
        return False
    try:
        written = orjson.dumps(rest)
    except orjson.JSONEncodeError:  # more than 254 levels
        return False
    arrays = [array for content in contents for array in (content["timestamps"], content["values"])]
    commas = len(contents) + sum(len(array) - 1 for array in arrays if array)
    if body.count(b",") != written.count(b",") + commas:
        return False
    return _REPLACED.encode() not in written and not _FLOAT.search(written)

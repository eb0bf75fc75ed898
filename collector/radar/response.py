"""Parse an answer: strict about numbers and the series they belong to, lenient about everything else.

body → envelope → meta → which object is which series → timestamps and values → points

This module and those beside it decide what is accepted, left out or rejected; a rejected answer is Untrusted. Python's
JSON and number parsers accept more than JSON allows (NaN, 1_000, digits of other scripts, the last of two equal keys).
Each of these is rejected explicitly.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from collector.model import Answer, Points
from collector.radar.classify import quote
from collector.radar.deviations import Deviations
from collector.radar.errors import Coarsened, OffGrid, Untrusted
from collector.radar.request import series_names
from collector.radar.response_layout import arrange, holds_series, sole_object
from collector.radar.response_meta import names_interval, parse_meta
from collector.radar.response_points import JsonNumber, parse_timestamps, parse_values
from collector.radar.scalars import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.model import Batch, Window

_NUMBERS = re.compile(r"\d+")
_MOST_DIGITS = 4
_SUCCESS = frozenset({"true", "1"})


class UnsuccessfulEnvelope(Untrusted):
    """The envelope has `success: false`; its errors say why."""


def parse_answer(body: bytes, batch: Batch) -> Answer:
    """Parse the JSON *body* of a response as the answer to *batch*; raises Untrusted if the whole must be rejected."""
    deviations = Deviations()
    result = parse_envelope(body, deviations)
    about, found = arrange(result, series_names(batch), deviations)
    contents = _by_position(found, series_names(batch), deviations)
    missing = frozenset(position for position, content in enumerate(contents) if content is None)
    meta = parse_meta(about, batch, deviations)
    series = _all_points([content for content in contents if content is not None], batch.without(missing), deviations)
    if not names_interval(about):
        _check_spacing([content for content in contents if content is not None], batch.without(missing))
    ranges = tuple(one for position, one in enumerate(meta.date_ranges) if position not in missing)
    return Answer(replace(meta, date_ranges=ranges), series, missing, deviations.kinds)


def _all_points(contents: Sequence[Mapping[str, Any]], batch: Batch, deviations: Deviations) -> tuple[Points, ...]:
    read, step = [], batch.agg_interval.seconds
    values = unreadable = 0
    off_grid: list[OffGrid] = []
    for content, piece in zip(contents, batch.slices, strict=True):
        try:
            points, lost = _points(content, piece.window, step, deviations)
        except OffGrid as error:
            off_grid.append(error)
            continue
        read.append(points)
        values += len(content["values"])
        unreadable += lost
    _check_one_grid(off_grid, read)
    if unreadable * 2 > values:
        raise Untrusted(f"{unreadable} of {values} values are no finite number")
    return tuple(read)


def _check_one_grid(off_grid: Sequence[OffGrid], others: Sequence[Points]) -> None:
    """Raise OffGrid if all series with buckets are off the grid by one distance, Untrusted if only some are."""
    offsets = {error.offset for error in off_grid}
    if len(offsets) > 1 or (offsets and any(points.timestamps for points in others)):
        raise Untrusted("the series are on several grids")
    if off_grid:
        raise off_grid[0]


def parse_envelope(body: bytes, deviations: Deviations | None = None) -> Mapping[str, Any]:
    """Return `result` of the envelope, or the whole document without an envelope; raises for `success: false`."""
    deviations = deviations or Deviations()
    document = parse_json(body)
    if not isinstance(document, dict):
        raise Untrusted("the document is not an object")
    result = _result(document, deviations)
    success = document.get("success")
    if success is not True:
        if result is None or not (success is None or str(success).lower() in _SUCCESS):
            raise UnsuccessfulEnvelope("the envelope does not have success: true")
        deviations.note("success is absent" if success is None else "success is not written as true")
    if result is None:
        raise Untrusted("result is not an object")
    return result


def _result(document: Mapping[str, Any], deviations: Deviations) -> Mapping[str, Any] | None:
    """Return the object with meta and the series; None if there is none."""
    if "result" not in document:
        if document.get("errors") or not holds_series(document):
            return None
        deviations.note("there is no result around meta and series")
        return document
    result = sole_object(document["result"])
    if result is not None and result is not document["result"]:
        deviations.note("result is a list of one")
    if result is not None and "meta" in document and "meta" not in result:
        deviations.note("meta stands beside result")
        return {**result, "meta": document["meta"]}
    return result


def parse_json(body: bytes) -> Any:
    """Parse strict JSON in UTF-8, with or without a byte-order mark: no NaN, no duplicate keys, no trailing text."""
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=JsonNumber)
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


def _by_position(
    found: Mapping[str, Any], names: Sequence[str], deviations: Deviations
) -> list[Mapping[str, Any] | None]:
    """Return the series of each position; None for one that is missing while others came. Raises Untrusted in doubt."""
    if not found:
        raise Untrusted(f"no series {names[0]}")
    positions = {key: _position(key, names, len(found)) for key in found}
    doubtful = next((key for key, position in positions.items() if position is None), None)
    if doubtful is not None or len(set(positions.values())) < len(found):
        raise Untrusted(f"a series {quote(doubtful or next(iter(found)))} that was not requested")
    order = [position for position in positions.values() if position is not None]
    if order != sorted(order) and not {*map(folded, found)} <= {*map(folded, names)}:
        raise Untrusted(f"series in another order than requested, under other names: {quote(next(iter(found)))}")
    if len(found) < len(names) and 0 not in order:
        raise Untrusted(f"no series {names[0]}: the others may be numbered from one")
    if any(key not in names for key in found):
        deviations.note("series have other names than were asked for")
    if len(found) < len(names):
        deviations.note("a series is missing while others came")
    by_position = {positions[key]: content for key, content in found.items()}
    return [by_position.get(position) for position in range(len(names))]


def _position(key: str, names: Sequence[str], came: int) -> int | None:
    """Return the position of the series *key*, one of *came* series; None if it is not certain.

    A name matches if it equals the expected one except for case and punctuation, or if its number is the position. If
    one series was requested and one came, its name is rejected only if it has another number.
    """
    same = [position for position, name in enumerate(names) if folded(name) == folded(key)]
    if same:
        return same[0]
    if came != len(names):
        return None
    numbers = _NUMBERS.findall(key)
    if len(numbers) == 1 and len(numbers[0]) <= _MOST_DIGITS:
        return int(numbers[0]) if int(numbers[0]) < len(names) else None
    return 0 if len(names) == 1 and not numbers else None


def _points(content: Mapping[str, Any], window: Window, step: int, deviations: Deviations) -> tuple[Points, int]:
    """Return the points of one series, and the number of its unreadable values."""
    timestamps, values = content.get("timestamps"), content.get("values")
    if not isinstance(timestamps, list) or not isinstance(values, list):
        raise Untrusted("timestamps and values are not both arrays")
    if len(timestamps) != len(values):
        raise Untrusted(f"{len(timestamps)} timestamps but {len(values)} values")
    moments = parse_timestamps(timestamps, window, step, deviations)
    numbers, unreadable = parse_values(values, deviations)
    known = [number for number in numbers if number is not None]
    if isinstance(moments, range) and len(known) == len(numbers):
        return Points(moments, known), 0
    return _sorted(zip(moments, numbers, strict=True), deviations), unreadable


def _sorted(pairs: Iterable[tuple[int | None, float | None]], deviations: Deviations) -> Points:
    """Sort buckets and remove duplicates; raises Untrusted for a bucket with two values."""
    known: dict[int, float | None] = {}
    ordered = True
    newest: int | None = None
    for moment, value in pairs:
        if moment is None:
            continue
        if moment in known and known[moment] != value:
            raise Untrusted("two values for one bucket")
        if newest is not None and moment <= newest:
            ordered = False
        newest = moment
        known[moment] = value
    if not ordered:
        deviations.note("timestamps are not ascending")
    kept = [(moment, value) for moment, value in sorted(known.items()) if value is not None]
    return Points([moment for moment, _ in kept], [value for _, value in kept])


def _check_spacing(contents: Iterable[Mapping[str, Any]], batch: Batch) -> None:
    """Raise Coarsened unless some neighbours are one bucket apart. It is used if no word names the interval.

    Timestamps without values count, too. Raises Untrusted if no series has two timestamps, but one has one.
    """
    gaps: set[int] = set()
    step, some = batch.agg_interval.seconds, False
    for content, piece in zip(contents, batch.slices, strict=True):
        moments = parse_timestamps(content["timestamps"], piece.window, step, Deviations())
        some = some or any(moment is not None for moment in moments)
        gaps |= {b - a for a, b in pairwise(sorted({moment for moment in moments if moment is not None}))}
    if some and not gaps:
        raise Untrusted("nothing names the width of the buckets")
    if gaps and min(gaps) != step:
        raise Coarsened(f"timestamps are at least {min(gaps)} s apart instead of {step} s")

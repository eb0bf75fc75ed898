"""Parse an answer: strict about numbers and the series they belong to, lenient about everything else.

body → envelope → meta → which object is which series → timestamps and values → points

This module and those beside it decide what is accepted, left out or rejected; a rejected answer is Untrusted. Python's
JSON and number parsers accept more than JSON allows (NaN, 1_000, digits of other scripts, the last of two equal keys).
Each of these is rejected explicitly.

Each kind of harmless deviation is recorded as one sentence.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from collector.model import Answer, Points
from collector.radar.classify import quote
from collector.radar.errors import Coarsened, Untrusted
from collector.radar.request import series_names
from collector.radar.response_deviations import Deviations
from collector.radar.response_groups import first_of_others, grouped_points
from collector.radar.response_layout import arrange, arrange_groups, holds_series, sole_object
from collector.radar.response_meta import names_interval, parse_meta
from collector.radar.response_points import (
    JsonNumber,
    folded,
    is_ascending,
    on_one_grid,
    parse_timestamps,
    parse_values,
    without_absent,
)
from collector.radar.response_usual import parse_usual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from collector.model import Batch, Slice, Window

    Content = Mapping[str, Any]
    Hook = Callable[[list[tuple[str, Any]]], dict[str, Any]]

_NUMBERS = re.compile(r"\d+")
_MAX_DIGITS = 4
_SUCCESS = frozenset({"true", "1"})


class UnsuccessfulEnvelope(Untrusted):
    """The envelope has `success: false`; its errors say why."""


def parse_answer(body: bytes, batch: Batch) -> Answer:
    """Parse the JSON *body* of a response as the answer to *batch*; raises Untrusted if the whole must be rejected."""
    if batch.slices[0].series.has_groups:
        return parse_groups(body, batch)
    return parse_usual(body, batch) or parse_any(body, batch)


def parse_groups(body: bytes, batch: Batch) -> Answer:
    """Parse an answer whose series have an array for each group; see parse_answer."""
    deviations, names = Deviations(), series_names(batch)
    content_of_meta, by_name = arrange_groups(parse_envelope(body, deviations, hook=first_of_others), names, deviations)
    by_position = _by_position(by_name, names, deviations)
    missing = frozenset(position for position, content in enumerate(by_position) if content is None)
    meta = parse_meta(content_of_meta, batch, deviations)
    contents, answered = [content for content in by_position if content is not None], batch.without(missing)
    series = grouped_points(contents, answered, meta.normalization, deviations)
    if not names_interval(content_of_meta):
        _check_spacing(contents, answered)
    date_ranges = (date_range for position, date_range in enumerate(meta.date_ranges) if position not in missing)
    return Answer(meta._replace(date_ranges=tuple(date_ranges)), series, missing, tuple(deviations.kinds))


def parse_any(body: bytes, batch: Batch) -> Answer:
    """Parse an answer of any form; see parse_answer."""
    deviations = Deviations()
    names = series_names(batch)
    content_of_meta, by_name = arrange(parse_envelope(body, deviations), names, deviations)
    by_position = _by_position(by_name, names, deviations)
    missing = frozenset(position for position, content in enumerate(by_position) if content is None)
    meta = parse_meta(content_of_meta, batch, deviations)
    contents, answered = [content for content in by_position if content is not None], batch.without(missing)
    series = _all_points(contents, answered, deviations)
    if not names_interval(content_of_meta):
        _check_spacing(contents, answered)
    date_ranges = (date_range for position, date_range in enumerate(meta.date_ranges) if position not in missing)
    return Answer(meta._replace(date_ranges=tuple(date_ranges)), series, missing, tuple(deviations.kinds))


def _all_points(contents: Sequence[Content], batch: Batch, deviations: Deviations) -> tuple[Points, ...]:
    """Return the points of every slice."""
    counts: list[int] = []

    def read(content: Content, slice_: Slice) -> Points:
        points, unreadable = _points(content, slice_.window, batch.agg_interval.seconds, deviations)
        counts.append(unreadable)
        return points

    series = on_one_grid(contents, batch, read)
    values, unreadable = sum(len(content["values"]) for content in contents), sum(counts)
    if unreadable * 2 > values:
        raise Untrusted(f"{unreadable} of {values} values are no finite number")
    return series


def parse_envelope(body: bytes, deviations: Deviations, hook: Hook | None = None) -> Content:
    """Return `result` of the envelope, or the whole document without an envelope; raises for `success: false`.

    *hook* makes an object of its pairs; without it, two equal keys reject the answer.
    """
    document = parse_json(body, hook)
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


def _result(document: Content, deviations: Deviations) -> Content | None:
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


def parse_json(body: bytes, hook: Hook | None = None) -> Any:
    """Parse strict JSON in UTF-8, with or without a byte-order mark: no NaN, no duplicate keys, no trailing text."""
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=hook or _unique, parse_constant=_no_constant, parse_float=JsonNumber)
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


def _by_position(by_name: Content, names: Sequence[str], deviations: Deviations) -> list[Content | None]:
    """Return the series of each position; None for one that is missing while others came. Raises Untrusted in doubt."""
    if not by_name:
        raise Untrusted(f"no series {names[0]}")
    positions = {key: _position(key, names, len(by_name)) for key in by_name}
    doubtful = next((key for key, position in positions.items() if position is None), None)
    if doubtful is not None or len(set(positions.values())) < len(by_name):
        raise Untrusted(f"a series {quote(doubtful or next(iter(by_name)))} that was not requested")
    order = [position for position in positions.values() if position is not None]
    if order != sorted(order) and not {*map(folded, by_name)} <= {*map(folded, names)}:
        raise Untrusted(f"series in another order than requested, under other names: {quote(next(iter(by_name)))}")
    if len(by_name) < len(names) and 0 not in order:
        raise Untrusted(f"no series {names[0]}: the others may be numbered from one")
    if any(key not in names for key in by_name):
        deviations.note("series have other names than were asked for")
    if len(by_name) < len(names):
        deviations.note("a series is missing while others came")
    by_position = {positions[key]: content for key, content in by_name.items()}
    return [by_position.get(position) for position in range(len(names))]


def _position(key: str, names: Sequence[str], count: int) -> int | None:
    """Return the position of the series *key*, one of *count* series; None if it is not certain.

    A name matches if it equals the expected one except for case and punctuation, or if its number is the position. If
    one series was requested and one came, its name is rejected only if it has another number.
    """
    same = [position for position, name in enumerate(names) if folded(name) == folded(key)]
    if same:
        return same[0]
    if count != len(names):
        return None
    numbers = _NUMBERS.findall(key)
    if len(numbers) == 1 and len(numbers[0]) <= _MAX_DIGITS:
        return int(numbers[0]) if int(numbers[0]) < len(names) else None
    return 0 if len(names) == 1 and not numbers else None


def _points(content: Content, window: Window, step: int, deviations: Deviations) -> tuple[Points, int]:
    """Return the points of one series, and the number of its unreadable values."""
    timestamps, values = content.get("timestamps"), content.get("values")
    if not isinstance(timestamps, list) or not isinstance(values, list):
        raise Untrusted("timestamps and values are not both arrays")
    if len(timestamps) != len(values):
        raise Untrusted(f"{len(timestamps)} timestamps but {len(values)} values")
    moments = parse_timestamps(timestamps, window, step, deviations)
    numbers, unreadable = parse_values(values, deviations)
    starts = [moment for moment in moments if moment is not None]
    if len(starts) == len(moments) and is_ascending(starts):
        return without_absent(moments if isinstance(moments, range) else starts, numbers), unreadable
    return _sorted(zip(moments, numbers, strict=True), deviations), unreadable


def _sorted(pairs: Iterable[tuple[int | None, float | None]], deviations: Deviations) -> Points:
    """Sort buckets and remove duplicates; raises Untrusted for a bucket with two values."""
    by_bucket: dict[int, float | None] = {}
    ordered = True
    newest: int | None = None
    for moment, value in pairs:
        if moment is None:
            continue
        if moment in by_bucket and by_bucket[moment] != value:
            raise Untrusted("two values for one bucket")
        if newest is not None and moment <= newest:
            ordered = False
        newest = moment
        by_bucket[moment] = value
    if not ordered:
        deviations.note("timestamps are not ascending")
    points = [(moment, value) for moment, value in sorted(by_bucket.items()) if value is not None]
    return Points([moment for moment, _ in points], [value for _, value in points])


def _check_spacing(contents: Iterable[Content], batch: Batch) -> None:
    """Raise Coarsened unless some neighbours are one bucket apart. It is used if no word names the interval.

    Timestamps without values count, too. Raises Untrusted if no series has two timestamps, but one has one.
    """
    gaps: set[int] = set()
    step, some = batch.agg_interval.seconds, False
    for content, slice_ in zip(contents, batch.slices, strict=True):
        moments = parse_timestamps(content["timestamps"], slice_.window, step, Deviations())
        some = some or any(moment is not None for moment in moments)
        gaps |= {b - a for a, b in pairwise(sorted({moment for moment in moments if moment is not None}))}
    if some and not gaps:
        raise Untrusted("nothing names the width of the buckets")
    if gaps and min(gaps) != step:
        raise Coarsened(f"timestamps are at least {min(gaps)} s apart instead of {step} s")

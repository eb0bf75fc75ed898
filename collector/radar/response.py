"""Parse an answer: strict about numbers and the series they belong to, lenient about everything else.

body → envelope → meta → which object is which series → timestamps and values → points

This module and those beside it decide what is accepted, left out or rejected; a rejected answer is Untrusted. Python's
JSON and number parsers accept more than JSON allows (NaN, 1_000, digits of other scripts, the last of two equal keys).
Each of these is rejected explicitly.

Meta and the series are taken from the documented place, or from one of the usual alternatives. A place that is
ambiguous is not used: then the series counts as absent. Each kind of harmless deviation is recorded as one sentence.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from collector.model import Answer, Points
from collector.radar.classify import quote
from collector.radar.errors import Coarsened, OffGrid, Untrusted
from collector.radar.request import series_names
from collector.radar.response_deviations import Deviations
from collector.radar.response_groups import arrange_groups, first_of_others, grouped_points
from collector.radar.response_meta import names_interval, parse_meta
from collector.radar.response_points import (
    JsonNumber,
    folded,
    is_ascending,
    member,
    parse_answer_time,
    parse_span,
    parse_timestamps,
    parse_values,
    unwrapped,
    without_absent,
)
from collector.radar.response_usual import parse_usual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from collector.model import Batch, Window

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
    content_of_meta, by_name = arrange_groups(parse_envelope(body, deviations, hook=first_of_others), deviations)
    by_position = _by_position(by_name, names, deviations)
    missing = frozenset(position for position, content in enumerate(by_position) if content is None)
    meta = parse_meta(content_of_meta, batch, deviations)
    contents, answered = [content for content in by_position if content is not None], batch.without(missing)
    series = grouped_points(contents, answered, meta.normalization, deviations)
    if not names_interval(content_of_meta):
        _check_spacing(contents, answered)
    date_ranges = (date_range for position, date_range in enumerate(meta.date_ranges) if position not in missing)
    return Answer(replace(meta, date_ranges=tuple(date_ranges)), series, missing, tuple(deviations.kinds))


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
    return Answer(replace(meta, date_ranges=tuple(date_ranges)), series, missing, tuple(deviations.kinds))


def _all_points(contents: Sequence[Content], batch: Batch, deviations: Deviations) -> tuple[Points, ...]:
    """Return the points of every slice.

    Raises OffGrid if all series that have buckets are off the grid by one distance, Untrusted if only some are.
    """
    series: list[Points] = []
    off_grid: list[OffGrid] = []
    values = unreadable = 0
    for content, slice_ in zip(contents, batch.slices, strict=True):
        try:
            points, count = _points(content, slice_.window, batch.agg_interval.seconds, deviations)
        except OffGrid as error:
            off_grid.append(error)
            continue
        series.append(points)
        values += len(content["values"])
        unreadable += count
    several_grids = len({error.offset for error in off_grid}) > 1
    if several_grids or (off_grid and any(points.timestamps for points in series)):
        raise Untrusted("the series are on several grids")
    if off_grid:
        raise off_grid[0]
    if unreadable * 2 > values:
        raise Untrusted(f"{unreadable} of {values} values are no finite number")
    return tuple(series)


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


_TIMESTAMPS = ("timestamps", "timestamp", "times", "time", "dates", "date")
_VALUES = ("values", "value", "counts", "count")
_ARRAYS = frozenset({"timestamps", "values"})
_META = ("meta", "metadata")
_INSIDE = ("result", "data", "series", "timeseries")
_BESIDE_POINTS = frozenset({*_META, "name"})
_MAX_DEPTH = 4


def arrange(result: Content, names: Sequence[str], deviations: Deviations) -> tuple[Any, dict[str, Any]]:
    """Return meta (None if there is none) and the series of *result* by name, in their order.

    *names* are the requested names. A series of the documented form may lack one of its arrays.
    """
    meta = member(result, *_META)
    if meta is not None and "meta" not in result:
        deviations.note("meta is called otherwise")
    container: Any = result
    for depth in range(_MAX_DEPTH):
        series = _series_of(container, names)
        if series:
            if depth:
                deviations.note("series stand deeper in the document than usual")
            if any(content is not container.get(key) for key, content in series.items()):
                deviations.note("series are arranged otherwise than in arrays of timestamps and values")
            return _meta_inside(series, deviations) if meta is None else meta, series
        inner = [content for key, content in container.items() if folded(key) in _INSIDE and content]
        if len(inner) != 1 or _asked(container, names):
            break
        container = _by_names(inner[0], names) or sole_object(inner[0]) or {}
        meta = member(container, *_META) if meta is None else meta
    return meta, {}


def sole_object(content: Any) -> Content | None:
    """Return an object, or the single object of a list; None for anything else."""
    inner = content[0] if isinstance(content, list) and len(content) == 1 else content
    return inner if isinstance(inner, dict) else None


def holds_series(content: Content) -> bool:
    """Return whether *content* contains a series of any name."""
    return isinstance(_column(content, _TIMESTAMPS), list) or bool(arrange(content, (), Deviations())[1])


def _by_names(content: Any, names: Sequence[str]) -> Content:
    """Return the series of a list by their `name` keys; a single series needs no name."""
    if not isinstance(content, list) or not all(isinstance(series, dict) for series in content):
        return {}
    called = [series.get("name") for series in content]
    if called == [None] == [None] * len(names) and _as_series(content[0]) is not None:
        called = [*names]
    if not all(isinstance(name, str) for name in called) or len({*called}) < len(called):
        return {}
    return dict(zip(called, content, strict=True))


def _meta_inside(series: Content, deviations: Deviations) -> Any:
    """Return the meta inside the series if all of them have the same; otherwise None."""
    inside = [member(content, *_META) for content in series.values()]
    if any(meta is None for meta in inside) or any(meta != inside[0] for meta in inside):
        return None
    deviations.note("meta stands inside of the series")
    return inside[0]


def _series_of(container: Content, names: Sequence[str]) -> dict[str, Any]:
    """Return the series directly inside *container*, in the documented form.

    Other forms count only if no series has the documented form. Unexpected names count only if no series has an
    expected name, because a table or list of something else may be beside the series; one that differs from a
    requested name in its number alone always counts.
    """
    candidates = {key: content for key, content in container.items() if folded(key) not in _META}
    halves = {
        key: content for key, content in candidates.items() if isinstance(content, dict) and _is_half(content, names)
    }
    documented = {
        key: content if {*content} >= _ARRAYS else _as_series(content) or content for key, content in halves.items()
    }
    requested = _asked(candidates, names)
    if documented and (not requested or not requested.isdisjoint(documented)):
        return documented
    shared = _column(container, _TIMESTAMPS)
    if isinstance(shared, list):
        return _columns(container, shared, names)
    series = {key: _as_series(candidates[key]) for key in (requested and _alike(candidates, names)) or candidates}
    return {key: content for key, content in series.items() if content is not None}


def _is_half(content: Content, names: Sequence[str]) -> bool:
    """Return whether *content* has an array of a series; not if it holds the series beside shared timestamps."""
    return {*content} >= _ARRAYS or not (_ARRAYS.isdisjoint(content) or _asked(content, names))


def _asked(content: Content, names: Sequence[str]) -> set[str]:
    """Return the keys of *content* that are requested names, in any spelling."""
    requested = {*map(folded, names)}
    return {key for key in content if folded(key) in requested}


def _alike(content: Content, names: Sequence[str]) -> set[str]:
    """Return the keys of *content* that differ from a requested name in spelling or number only."""
    requested = {_without_number(name) for name in names}
    return {key for key in content if _without_number(key) in requested}


def _without_number(name: str) -> str:
    return folded(name).rstrip("0123456789")


def _columns(container: Content, timestamps: list[Any], names: Sequence[str]) -> dict[str, Any]:
    """Return series for timestamps that occur once beside the values of every series, or of the only series."""
    values = _column(container, _VALUES)
    if isinstance(values, list) and len(names) == 1:
        return {names[0]: {"timestamps": timestamps, "values": values}}
    alike = _alike(container, names) if _asked(container, names) else set()
    columns = {key: values for key, values in container.items() if key in alike}
    return {
        key: {"timestamps": timestamps, "values": values} if isinstance(values, list) else values
        for key, values in columns.items()
        if isinstance(values, list | dict)  # an object is a series too many, which rejects the answer
    }


def _as_series(content: Any, depth: int = 0) -> Content | None:
    """Return *content* in the form of a series; None if it is no series."""
    if isinstance(content, list):
        return _of_records(content)
    if not isinstance(content, dict):
        return None
    timestamps, values = _column(content, _TIMESTAMPS), _column(content, _VALUES)
    if isinstance(timestamps, list) and isinstance(values, list):
        return {**content, "timestamps": timestamps, "values": values}
    inner = member(content, "data", "points")
    if inner is not None and depth == 0:
        series = _as_series(inner, depth + 1)
        return None if series is None else {**content, **series}
    return _of_mapping(content)


def _column(content: Content, names: Sequence[str]) -> Any:
    """Return the value of the first of *names*; of one of the other names only if exactly one of them exists.

    The first one counts before the others in another spelling, too, if it occurs once.
    """
    if names[0] in content:
        return content[names[0]]
    first = [inner for key, inner in content.items() if folded(key) == names[0]]
    matches = first if len(first) == 1 else [inner for key, inner in content.items() if folded(key) in names]
    return matches[0] if len(matches) == 1 else None


def _of_records(content: list[Any]) -> Content | None:
    """Parse [[timestamp, value], …] or [{"timestamp": …, "value": …}, …]; None if the first entry has neither form."""
    places = _places(content[0]) if content else None
    if places is None or not _is_time(content[0][places[0]]):
        return None
    at, of = places
    try:
        return {"timestamps": [record[at] for record in content], "values": [record[of] for record in content]}
    except (TypeError, LookupError):
        return None


def _places(record: Any) -> tuple[Any, Any] | None:
    """Return the keys or indices of timestamp and value in a record."""
    if isinstance(record, list):
        return (0, 1) if len(record) == 2 else None  # noqa: PLR2004 - a timestamp and a value
    keys = [_key(record, names) for names in (_TIMESTAMPS, _VALUES)] if isinstance(record, dict) else [None]
    return None if None in keys else (keys[0], keys[1])


def _is_time(content: Any) -> bool:
    is_span = isinstance(content, dict) and parse_span(content) is not None
    return content is None or is_span or parse_answer_time(unwrapped(content)) is not None


def _key(record: Content, names: Sequence[str]) -> str | None:
    matches = [key for key in record if folded(key) in names]
    return matches[0] if len(matches) == 1 else None


def _of_mapping(content: Content) -> Content | None:
    """Parse {timestamp: value, …}; meta and a name may be beside the points."""
    points = {key: value for key, value in content.items() if folded(key) not in _BESIDE_POINTS}
    if not points or any(parse_answer_time(key) is None for key in points):
        return None
    return {**content, "timestamps": [*points], "values": [*points.values()]}

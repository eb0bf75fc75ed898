"""The form of a JSON document: its keys, types and spellings. Used for the report and for comparisons."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from collector.interval import AggInterval
from collector.radar.classify import quote
from collector.radar.response_meta import is_known_normalization
from collector.radar.response_points import parse_answer_time, parse_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    Series = tuple[str, Mapping[str, Any]]
    from collections.abc import Iterator, Mapping


_USUAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_PLAIN_NUMBER = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_SAMPLE = 3
_MOST_KEYS = 12
_MILLISECONDS = 10**11
_PLAUSIBLE = range(1, 2**33)
"""Epoch seconds that a bucket may have, up to the year 2242."""


def parse(body: bytes) -> Any:
    """Parse JSON leniently. Returns None if the body is not JSON."""
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), parse_constant=str, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _finite(text: str) -> float | str:
    """Return the number, or its text if no double can hold it, because JSON has no infinity."""
    number = float(text)
    return number if math.isfinite(number) else text


def result_of(document: Any) -> Mapping[str, Any]:
    """Return `result` of a document without `success: false`. Returns an empty mapping if there is none."""
    if not isinstance(document, dict) or document.get("success") is False:
        return {}
    result = document.get("result")
    return result if isinstance(result, dict) else {}


def meta_of(document: Any) -> Mapping[str, Any]:
    """Return `result.meta`. Returns an empty mapping if there is none."""
    meta = result_of(document).get("meta")
    return meta if isinstance(meta, dict) else {}


def series_of(document: Any) -> list[Series]:
    """Return (key, content) of each member that looks like a series, in the order of the document."""
    members = ((key, content) for key, content in result_of(document).items() if key != "meta")
    return [(key, part) for key, part in members if isinstance(part, dict) and {"timestamps", "values"} & part.keys()]


def in_order(series: list[Series]) -> list[Series]:
    """Return *series* sorted by the number in each key, if every key has exactly one and all differ."""
    numbers = [re.findall(r"[0-9]{1,9}", key) for key, _ in series]
    if len({tuple(digits) for digits in numbers}) < len(series) or any(len(digits) != 1 for digits in numbers):
        return series
    return sorted(series, key=lambda entry: int(re.findall(r"[0-9]{1,9}", entry[0])[0]))


def points_of(content: Mapping[str, Any]) -> dict[int, float]:
    """Return the readable points of a series, as {epoch seconds: value}."""
    timestamps, values = content.get("timestamps"), content.get("values")
    if not isinstance(timestamps, list) or not isinstance(values, list):
        return {}
    moments = [moment and round(moment.at.timestamp()) for moment in map(parse_answer_time, timestamps)]
    pairs = zip(moments, map(parse_number, values), strict=False)
    return {at: value for at, value in pairs if at and at in _PLAUSIBLE and value is not None and math.isfinite(value)}


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """Return the moment of the Date header. Returns None if it cannot be read."""
    try:
        moment = parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None


def describe(document: Any) -> dict[str, str]:
    """Return the form of each part of an answer, as {part: words}."""
    parts = {"document": _members(document)}
    result = result_of(document)
    if result:
        parts["result"] = _members(result)
    for key, content in series_of(document)[:1]:
        parts[f"result.{key}"] = _members(content)
        parts["timestamps"] = describe_timestamps(content.get("timestamps"))
        parts["values"] = describe_values(content.get("values"))
    if meta := meta_of(document):
        parts["meta"] = _members(meta)
        info = meta.get("confidenceInfo")
        parts |= {"meta.confidenceInfo": _members(info)} if isinstance(info, dict) else {}
    return parts


def _members(content: Any) -> str:
    if not isinstance(content, dict):
        return kind_of(content)
    members = [f"{key[:40]}: {kind_of(value)}" for key, value in content.items()]
    return ", ".join(members[:_MOST_KEYS]) + (
        f" and {len(members) - _MOST_KEYS} more" if len(members) > _MOST_KEYS else ""
    )


def kind_of(content: Any) -> str:
    """Return the JSON type of *content*, with its size."""
    match content:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return f"array of {len(content)}"
        case _:
            return f"object of {len(content)}"


def describe_timestamps(timestamps: Any) -> str:
    """Return how timestamps are spelled and ordered."""
    if not isinstance(timestamps, list):
        return kind_of(timestamps)
    if not timestamps:
        return "none"
    forms = Counter(map(form_of_time, timestamps))
    moments = [moment.at for moment in map(parse_answer_time, timestamps) if moment]
    order = "ascending" if moments == sorted(set(moments)) else "not ascending"
    return f"{_counted(forms)}; {order}, such as {quote(timestamps[0])}"


def form_of_time(content: Any) -> str:
    """Return the form of a time, in the plural."""
    if isinstance(content, int | float) and not isinstance(content, bool):
        return f"numbers, {'milliseconds' if abs(content) >= _MILLISECONDS else 'seconds'} since 1970"
    if not isinstance(content, str):
        return f"{kind_of(content)}s"
    moment = parse_answer_time(content)
    if moment is None:
        return "texts that are no time"
    if not moment.zoned:
        return "texts without a zone"
    if _USUAL_TIME.fullmatch(content):
        return "RFC 3339 texts in whole seconds with Z"
    return "RFC 3339 texts with a fraction" if "." in content else "texts of another spelling"


def describe_values(values: Any) -> str:
    """Return how values are written."""
    if not isinstance(values, list):
        return kind_of(values)
    if not values:
        return "none"
    return f"{_counted(Counter(map(form_of_value, values)))}, such as {', '.join(map(quote, values[:_SAMPLE]))}"


def form_of_value(content: Any) -> str:
    """Return the form of a value, in the plural: texts or numbers, whole or decimal."""
    if isinstance(content, bool) or not isinstance(content, int | float | str):
        return f"{kind_of(content)}s"
    kind = "texts" if isinstance(content, str) else "numbers"
    try:
        number = float(content)
    except (ValueError, OverflowError):
        return f"{kind} that are no number"
    if not math.isfinite(number):
        return f"{kind} that are not finite"
    if isinstance(content, str) and not _PLAIN_NUMBER.fullmatch(content):
        return "texts of numbers that are spelt otherwise"
    return f"{'decimal' if '.' in str(content) else 'whole'} {kind}"


def _counted(forms: Counter[str]) -> str:
    return ", ".join(f"{count} {form}" for form, count in forms.most_common(_SAMPLE))


def phases(timestamps: Iterable[int], step: timedelta, origin: datetime) -> list[int]:
    """Return the distinct offsets of *timestamps* from the grid of *step* that starts at *origin*, in seconds."""
    width, start = int(step.total_seconds()), int(origin.timestamp())
    return sorted({(moment - start) % width for moment in timestamps})


_ENVELOPE = frozenset({"success", "errors", "messages", "result"})
_META = frozenset({"aggInterval", "confidenceInfo", "dateRange", "lastUpdated", "normalization", "units"})
_SERIES = frozenset({"timestamps", "values"})
_CONFIDENCE = frozenset({"level", "annotations"})
_RANGE = frozenset({"startTime", "endTime"})
_UNIT = frozenset({"name", "value"})
_ANNOTATION: Mapping[str, str] = {
    "dataSource": "text",
    "description": "text",
    "endDate": "text",
    "eventType": "text",
    "isInstantaneous": "boolean",
    "linkedUrl": "text",
    "startDate": "text",
}
_EVENT_TYPES = frozenset({"EVENT", "GENERAL", "OUTAGE", "PARTIAL_PROJECTION", "PIPELINE", "TRAFFIC_ANOMALY"})
_RFC3339_FORM = "RFC 3339 texts in whole seconds with Z"
_USUAL_VALUE = "whole texts"
_NAME = re.compile(r"serie_([0-9]+)", re.ASCII)
_CONSTANT = re.compile(r"[A-Z0-9]+(_[A-Z0-9]+)*", re.ASCII)


def unusual(document: Any, content_type: str) -> Iterator[str]:
    """Yield each difference from the form in the contract."""
    if "json" not in content_type.lower():
        yield "Content-Type is not JSON"
    if isinstance(document, dict):
        yield from _envelope(document)
    yield from _series(document)
    meta = meta_of(document)
    if meta:
        yield from _keys("meta", meta, _META, frozenset())
        yield from _words(meta)
        yield from _units(meta.get("units"))
        yield from _ranges(meta.get("dateRange"))
        yield from _confidence(meta.get("confidenceInfo"))


def _keys(part: str, content: Mapping[str, Any], known: frozenset[str], needed: frozenset[str]) -> Iterator[str]:
    if content.keys() - known:
        yield f"unknown keys in {part}"
    yield from (f"{part}.{key} is absent" for key in sorted(needed - content.keys()))


def _envelope(document: Mapping[str, Any]) -> Iterator[str]:
    if document.keys() - _ENVELOPE:
        yield "unknown keys beside result"
    if not isinstance(document.get("errors"), list):
        yield "errors is no array"
    for key in ("errors", "messages"):
        if document.get(key):
            yield f"{key} is not empty beside a result"
    if "messages" in document and not isinstance(document["messages"], list):
        yield "messages is no array"


def _series(document: Any) -> Iterator[str]:
    result, series = result_of(document), series_of(document)
    if result.keys() - {"meta"} - {key for key, _ in series}:
        yield "unknown keys in result"
    numbers = [match and int(match[1]) for match in (_NAME.fullmatch(key) for key, _ in series)]
    if numbers != [*range(len(numbers))]:
        yield "series are not serie_0, serie_1 and so on, in this order"
    for _, content in series:
        yield from _keys("a series", content, _SERIES, frozenset())
        for name, form_of, usual in (
            ("timestamps", form_of_time, _RFC3339_FORM),
            ("values", form_of_value, _USUAL_VALUE),
        ):
            elements = content.get(name)
            forms = {*map(form_of, elements)} if isinstance(elements, list) else {kind_of(elements)}
            yield from (f"{name} are {form}" for form in sorted(forms - {usual}))


def _words(meta: Mapping[str, Any]) -> Iterator[str]:
    if "lastUpdated" in meta and (form := form_of_time(meta["lastUpdated"])) != _RFC3339_FORM:
        yield f"meta.lastUpdated is of the form: {form}"
    if "aggInterval" in meta and meta["aggInterval"] not in [interval.name for interval in AggInterval]:
        yield "meta.aggInterval is none of the words of the contract"
    word = meta.get("normalization")
    if word is None:
        return
    if not isinstance(word, str):
        yield f"meta.normalization is no text: {kind_of(word).partition(' ')[0]}"
    elif is_known_normalization(word) and not _CONSTANT.fullmatch(word):
        yield "meta.normalization is spelt otherwise"


def _units(units: Any) -> Iterator[str]:
    if units is None:
        return
    if not isinstance(units, list):
        yield "meta.units is not an array"
        return
    if len(units) != 1:
        yield "meta.units has another number of entries than one"
    for unit in units:
        if (
            not isinstance(unit, dict)
            or unit.keys() != _UNIT
            or not all(isinstance(text, str) for text in unit.values())
        ):
            yield "an entry of meta.units is no pair of name and value"
        elif unit["value"] != unit["value"].strip().lower():
            yield "a unit has capitals, or blanks around it"


def _ranges(ranges: Any) -> Iterator[str]:
    if ranges is None:
        return
    if isinstance(ranges, dict):
        yield "meta.dateRange is one object, not an array"
    for date_range in ranges if isinstance(ranges, list) else [ranges]:
        if not isinstance(date_range, dict) or date_range.keys() != _RANGE:
            yield "an entry of meta.dateRange is no pair of startTime and endTime"
        elif {form_of_time(moment) for moment in date_range.values()} != {_RFC3339_FORM}:
            yield "times of meta.dateRange are spelt otherwise"


def _confidence(info: Any) -> Iterator[str]:
    if info is None:
        return
    if not isinstance(info, dict):
        yield f"meta.confidenceInfo is no object: {kind_of(info).partition(' ')[0]}"
        return
    yield from _keys("meta.confidenceInfo", info, _CONFIDENCE, _CONFIDENCE)
    level = info.get("level")
    if "level" in info and (isinstance(level, bool) or not isinstance(level, int)):
        yield f"meta.confidenceInfo.level is no whole number: {kind_of(level).partition(' ')[0]}"
    annotations = info.get("annotations", [])
    if not isinstance(annotations, list):
        yield f"annotations are no array: {kind_of(annotations).partition(' ')[0]}"
        return
    for annotation in annotations:
        yield from _annotation(annotation)
    if any(annotation in annotations[:number] for number, annotation in enumerate(annotations[:100])):
        yield "an annotation comes twice"


def _annotation(annotation: Any) -> Iterator[str]:
    if not isinstance(annotation, dict):
        yield f"an annotation is no object: {kind_of(annotation).partition(' ')[0]}"
        return
    yield from _keys("an annotation", annotation, frozenset({*_ANNOTATION, "tags"}), frozenset(_ANNOTATION))
    for key, kind in _ANNOTATION.items():
        if key in annotation and kind_of(annotation[key]) != kind:
            yield f"{key} of an annotation is {kind_of(annotation[key]).partition(' ')[0]}"
    for key in ("startDate", "endDate"):
        if isinstance(annotation.get(key), str) and form_of_time(annotation[key]) != _RFC3339_FORM:
            yield f"{key} of an annotation is of the form: {form_of_time(annotation[key])}"
    if isinstance(annotation.get("eventType"), str) and annotation["eventType"] not in _EVENT_TYPES:
        yield "eventType of an annotation is an unknown word"
    tags = annotation.get("tags")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        yield "tags of an annotation are no array of texts"

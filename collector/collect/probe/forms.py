"""Where an answer has another form than the contract's, although the reader may take it: a constant sentence a kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from collector.collect.probe.shape import form_of_time, form_of_value, kind_of, meta_of, result_of, series_of
from collector.interval import AggInterval
from collector.radar.response_meta import is_known_normalization

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
_USUAL_TIME = "RFC 3339 texts in whole seconds with Z"
_USUAL_VALUE = "whole texts"
_NAME = re.compile(r"serie_([0-9]+)", re.ASCII)
_CONSTANT = re.compile(r"[A-Z0-9]+(_[A-Z0-9]+)*", re.ASCII)


def unusual(document: Any, content_type: str) -> Iterator[str]:
    """Yield what has another form than the contract's."""
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
            ("timestamps", form_of_time, _USUAL_TIME),
            ("values", form_of_value, _USUAL_VALUE),
        ):
            elements = content.get(name)
            forms = {*map(form_of, elements)} if isinstance(elements, list) else {kind_of(elements)}
            yield from (f"{name} are {form}" for form in sorted(forms - {usual}))


def _words(meta: Mapping[str, Any]) -> Iterator[str]:
    if "lastUpdated" in meta and (form := form_of_time(meta["lastUpdated"])) != _USUAL_TIME:
        yield f"meta.lastUpdated is of the form: {form}"
    if "aggInterval" in meta and meta["aggInterval"] not in {interval.name for interval in AggInterval}:
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
        if not isinstance(unit, dict) or unit.keys() != _UNIT or not all(isinstance(one, str) for one in unit.values()):
            yield "an entry of meta.units is no pair of name and value"
        elif unit["value"] != unit["value"].strip().lower():
            yield "a unit has capitals, or blanks around it"


def _ranges(ranges: Any) -> Iterator[str]:
    if ranges is None:
        return
    if isinstance(ranges, dict):
        yield "meta.dateRange is one object, not an array"
    for one in ranges if isinstance(ranges, list) else [ranges]:
        if not isinstance(one, dict) or one.keys() != _RANGE:
            yield "an entry of meta.dateRange is no pair of startTime and endTime"
        elif {form_of_time(moment) for moment in one.values()} != {_USUAL_TIME}:
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
        if isinstance(annotation.get(key), str) and form_of_time(annotation[key]) != _USUAL_TIME:
            yield f"{key} of an annotation is of the form: {form_of_time(annotation[key])}"
    if isinstance(annotation.get("eventType"), str) and annotation["eventType"] not in _EVENT_TYPES:
        yield "eventType of an annotation is an unknown word"
    tags = annotation.get("tags")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        yield "tags of an annotation are no array of texts"

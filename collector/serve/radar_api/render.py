"""Write an answer in the API's form, in chunks, so that a large one is never one text in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from collector.contract.response import annotation_json, csv_chunks, format_timestamps, quoted, quoted_timestamps
from collector.report.gaps import ABSENT_CODE, absence_sentences
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest
    from collector.model import Annotation
    from collector.report.gaps import AbsentBuckets
    from collector.serve.radar_api.resolver import SeriesData


class Timed(Protocol):
    """What has the buckets of a series."""

    @property
    def timestamps(self) -> Sequence[int]:
        """The starts of the buckets, ascending, in epoch seconds."""


_BLOCK_ROWS = 4_096
_PART_CHARACTERS = 50_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class AnswerMeta:
    """The meta data of an answer, except its dates; *asked_at* has for each series when its snapshot was requested."""

    last_updated: datetime
    normalization: str
    unit: str
    confidence_level: int | None
    annotations: Sequence[Annotation]
    asked_at: Sequence[datetime | None] = ()
    unit_names: Sequence[str] = ("*",)


def write_csv(request: ApiRequest, series: Sequence[SeriesData]) -> Iterator[str]:
    """Yield the answer to *request* as CSV."""
    columns = [
        (cell(position.name), in_blocks(data.timestamps, format_timestamps), _value_texts(data.values))
        for position, data in zip(request.series, series, strict=True)
    ]
    return csv_chunks(columns)


def in_blocks(column: Any, write: Callable[[Any], Sequence[str]]) -> Iterator[str]:
    """Yield the texts that *write* returns for some rows at a time."""
    starts = range(0, len(column), _BLOCK_ROWS)
    return chain.from_iterable(write(column[start : start + _BLOCK_ROWS]) for start in starts)


def write_json(
    request: ApiRequest, series: Sequence[SeriesData], about: AnswerMeta, absent: Sequence[AbsentBuckets] = ()
) -> Iterator[str]:
    """Yield the answer to *request* as JSON; `messages` lists the *absent* buckets."""
    yield json_head(meta(request, series, about), absent)
    for position, data in zip(request.series, series, strict=True):
        yield f',{json_text(position.name)}:{{"timestamps":['
        yield from json_parts(data.timestamps, quoted_timestamps)
        yield '],"values":['
        values = data.values
        yield from _quoted_parts(values) if isinstance(values, str) else json_parts(values, quoted_numbers)
        yield "]}"
    yield "}}"


def json_head(meta_data: dict[str, Any], absent: Sequence[AbsentBuckets]) -> str:
    """Return the beginning of an answer: all before the first series. `messages` lists the *absent* buckets."""
    messages = [{"code": ABSENT_CODE, "message": text} for text in absence_sentences(absent)] if absent else []
    messages_json = f'"messages":{json_text(messages)},' if messages else ""
    return f'{{"success":true,"errors":[],{messages_json}"result":{{"meta":{json_text(meta_data)}'


def json_text(value: Any) -> str:
    """Return *value* as JSON."""
    return json.dumps(value, ensure_ascii=False)


def json_parts(column: Any, write: Callable[[Any], str]) -> Iterator[str]:
    """Yield the items of an array of JSON that *write* returns for some rows at a time."""
    comma = ""
    for start in range(0, len(column), _BLOCK_ROWS):
        yield comma + write(column[start : start + _BLOCK_ROWS])
        comma = ","


def _quoted_parts(texts: str) -> Iterator[str]:
    """Yield the items of an array of JSON from texts that are separated by commas."""
    comma = ""
    for part in _parts(texts):
        yield comma + '"' + part.replace(",", '","') + '"'
        comma = ","


def _parts(texts: str) -> Iterator[str]:
    """Yield parts of texts that are separated by commas, each of whole texts."""
    start = 0
    while start < len(texts):
        comma = texts.find(",", start + _PART_CHARACTERS)
        end = len(texts) if comma < 0 else comma
        yield texts[start:end]
        start = end + 1


def meta(request: ApiRequest, series: Sequence[Timed], about: AnswerMeta) -> dict[str, Any]:
    """Write `result.meta`.

    A date range runs from the start of the first bucket of the answer to the start of the last one. For a series
    without buckets it is the requested range. `askedAt` has one entry for each series, null for one that is no
    snapshot; without any snapshot it is left out.
    """
    ranges = []
    for position, data in zip(request.series, series, strict=True):
        first, last = position.start, position.end - request.agg_interval.seconds
        if data.timestamps:
            first, last = data.timestamps[0], data.timestamps[-1]
        ranges.append({"startTime": rfc3339(from_epoch(first)), "endTime": rfc3339(from_epoch(last))})
    asked_at = [rfc3339(moment) if moment else None for moment in about.asked_at]
    return {
        "aggInterval": request.agg_interval.name,
        "confidenceInfo": {
            "level": about.confidence_level,
            "annotations": [annotation_json(annotation) for annotation in about.annotations],
        },
        "dateRange": ranges,
        "lastUpdated": rfc3339(about.last_updated),
        "normalization": about.normalization,
        "units": units(about.unit, about.unit_names),
        **({"askedAt": asked_at} if any(asked_at) else {}),
    }


def units(unit: str, names: Sequence[str] = ("*",)) -> list[dict[str, str]]:
    """Write `meta.units`: the one unit under each of its *names*, or those that were kept as `name=value, …`."""
    parts = [part.partition("=") for part in unit.split(", ")]
    if len(parts) > 1 and all(name and equals for name, equals, _ in parts):
        return [{"name": name, "value": value} for name, _, value in parts]
    return [{"name": name, "value": unit} for name in names]


def numbers(values: Iterable[float]) -> list[str]:
    """Write values as the contract's pattern wants them: without an exponent, a whole number without a point."""
    return [str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f") for value in values]


def quoted_numbers(values: Sequence[float]) -> str:
    """Return what `numbers` returns in quotes, separated by commas.

    orjson writes the same digits, but a whole number with a point, and very large or small ones with an exponent.
    """
    text = orjson.dumps([*values]).decode()[1:-1] + ","
    if "e" in text or "-0.0," in text:
        return quoted(numbers(values))
    return '"' + text.replace(".0,", ",")[:-1].replace(",", '","') + '"'


def _value_texts(values: Sequence[float] | str) -> Iterator[str]:
    if not isinstance(values, str):
        return in_blocks(values, numbers)
    return chain.from_iterable(part.split(",") for part in _parts(values))


def cell(name: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{name}" if name.startswith(_FORMULA) else name

"""Write an answer in the API's form, in chunks, so that a large one is never one text in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

from collector.contract.render import annotation_json, csv_chunks, format_timestamps
from collector.report.gaps import ABSENT_CODE, absence_sentences
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest
    from collector.model import Annotation
    from collector.report.gaps import AbsentBuckets
    from collector.serve.radar_api.resolver import SeriesData

_BLOCK_ROWS = 4_096
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


def chunks(
    request: ApiRequest, series: Sequence[SeriesData], about: AnswerMeta, absent: Sequence[AbsentBuckets] = ()
) -> Iterator[str]:
    """Write the answer to *request* in its format; in JSON, `messages` lists the *absent* buckets."""
    if request.format == "CSV":
        return csv_chunks([(_cell(one.name), *_texts(data)) for one, data in zip(request.series, series, strict=True)])
    return _json(request, series, about, absent)


def _texts(data: SeriesData) -> tuple[Iterator[str], Iterator[str]]:
    return chain.from_iterable(_blocks(data.timestamps, format_timestamps)), map(number, data.values)


def _json(
    request: ApiRequest, series: Sequence[SeriesData], about: AnswerMeta, absent: Sequence[AbsentBuckets]
) -> Iterator[str]:
    messages = [{"code": ABSENT_CODE, "message": text} for text in absence_sentences(absent)] if absent else []
    listed = f'"messages":{json.dumps(messages, ensure_ascii=False)},' if messages else ""
    written = json.dumps(meta(request, series, about), ensure_ascii=False)
    yield f'{{"success":true,"errors":[],{listed}"result":{{"meta":{written}'
    for one, data in zip(request.series, series, strict=True):
        yield f',{json.dumps(one.name, ensure_ascii=False)}:{{"timestamps":['
        yield from _array(data.timestamps, format_timestamps)
        yield '],"values":['
        yield from _array(data.values, _numbers)
        yield "]}"
    yield "}}"


def _blocks(column: Any, write: Callable[[Any], Sequence[str]]) -> Iterator[Sequence[str]]:
    return (write(column[at : at + _BLOCK_ROWS]) for at in range(0, len(column), _BLOCK_ROWS))


def _array(column: Any, write: Callable[[Any], Sequence[str]]) -> Iterator[str]:
    comma = ""
    for at in range(0, len(column), _BLOCK_ROWS):
        yield comma + '"' + '","'.join(write(column[at : at + _BLOCK_ROWS])) + '"'
        comma = ","


def meta(request: ApiRequest, series: Sequence[SeriesData], about: AnswerMeta) -> dict[str, Any]:
    """Write `result.meta`.

    A date range runs from the start of the first bucket of the answer to the start of the last one. For a series
    without buckets it is the requested range. `askedAt` has one entry for each series, null for one that is no
    snapshot; without any snapshot it is left out.
    """
    ranges = []
    for one, data in zip(request.series, series, strict=True):
        first, last = one.start, one.end - one.query.agg_interval.seconds
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


def number(value: float) -> str:
    """Write a value as the contract's pattern wants it: digits without an exponent, a whole number without a point."""
    return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")


def _numbers(values: Iterable[float]) -> list[str]:
    return [number(value) for value in values]


def _cell(name: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{name}" if name.startswith(_FORMULA) else name

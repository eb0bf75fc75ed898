"""Writes an answer as the API does, in pieces, so that a large one is never one text in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from collector.contract.render import annotation_json, csv_chunks, format_timestamps
from collector.model import from_epoch, rfc3339
from collector.report.absent_buckets import ABSENT_CODE, sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest, SeriesRequest
    from collector.model import Annotation
    from collector.report.absent_buckets import AbsentBuckets
    from collector.serve.radar_api.rollup import Line

_AT_ONCE = 4_096
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says of itself, beside its dates; *asked_at* tells of each series from which snapshot it is."""

    last_updated: datetime
    normalization: str
    unit: str
    confidence_level: int | None
    annotations: Sequence[Annotation]
    asked_at: Sequence[datetime | None] = ()
    unit_names: Sequence[str] = ("*",)


def pieces(
    question: ApiRequest, lines: Sequence[Line], said: Said, absent: Sequence[AbsentBuckets] = ()
) -> Iterator[str]:
    """Write the answer to *question*, in its format; JSON says in `messages` which buckets are *absent*."""
    if question.format == "CSV":
        return csv_chunks([(_cell(a.name), *_texts(line)) for a, line in zip(question.series, lines, strict=True)])
    return _json(question, lines, said, absent)


def _texts(line: Line) -> tuple[Iterator[str], Iterator[str]]:
    return (text for one in _blocks(line.timestamps, format_timestamps) for text in one), map(number, line.values)


def _json(question: ApiRequest, lines: Sequence[Line], said: Said, absent: Sequence[AbsentBuckets]) -> Iterator[str]:
    messages = [{"code": ABSENT_CODE, "message": text} for text in sentences(absent)]
    listed = f'"messages":{json.dumps(messages, ensure_ascii=False)},' if messages else ""
    about = json.dumps(meta(question, lines, said), ensure_ascii=False)
    yield f'{{"success":true,"errors":[],{listed}"result":{{"meta":{about}'
    for asked, line in zip(question.series, lines, strict=True):
        yield f',{json.dumps(asked.name, ensure_ascii=False)}:{{"timestamps":['
        yield from _array(_blocks(line.timestamps, format_timestamps))
        yield '],"values":['
        yield from _array(_blocks(line.values, lambda values: list(map(number, values))))
        yield "]}"
    yield "}}"


def _blocks(column: Any, written: Callable[[Any], Sequence[str]]) -> Iterator[Sequence[str]]:
    return (written(column[at : at + _AT_ONCE]) for at in range(0, len(column), _AT_ONCE))


def _array(blocks: Iterable[Sequence[str]]) -> Iterator[str]:
    comma = ""
    for block in blocks:
        yield comma + '"' + '","'.join(block) + '"'
        comma = ","


def meta(question: ApiRequest, lines: Sequence[Line], said: Said) -> dict[str, Any]:
    """Write `result.meta`.

    A date range runs from the start of the first bucket of the answer to that of the last one; of a series without any
    it is what was asked for.
    """
    return {
        "aggInterval": question.agg_interval.name,
        "confidenceInfo": {
            "level": said.confidence_level,
            "annotations": [annotation_json(annotation) for annotation in said.annotations],
        },
        "dateRange": [
            {"startTime": rfc3339(from_epoch(first)), "endTime": rfc3339(from_epoch(last))}
            for first, last in map(_range, question.series, lines)
        ],
        "lastUpdated": rfc3339(said.last_updated),
        "normalization": said.normalization,
        "units": units(said.unit, said.unit_names),
        **_asked_at(said.asked_at),
    }


def _asked_at(moments: Sequence[datetime | None]) -> dict[str, Any]:
    """`askedAt`: like dateRange, one for each series; null for what is no snapshot, absent where none is one."""
    return {"askedAt": [rfc3339(moment) if moment else None for moment in moments]} if any(moments) else {}


def _range(asked: SeriesRequest, line: Line) -> tuple[int, int]:
    if not line.timestamps:
        return asked.start, asked.end - asked.query.agg_interval.seconds
    return line.timestamps[0], line.timestamps[-1]


def units(unit: str, names: Sequence[str] = ("*",)) -> list[dict[str, str]]:
    """Write `meta.units`: the one unit under each of its *names*, or those that were kept as `name=value, …`."""
    parts = [part.partition("=") for part in unit.split(", ")]
    if len(parts) > 1 and all(name and equals for name, equals, _ in parts):
        return [{"name": name, "value": value} for name, _, value in parts]
    return [{"name": name, "value": unit} for name in names]


def number(value: float) -> str:
    """Write a value as the contract's pattern wants it: digits without an exponent, a whole number without a point."""
    return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")


def _cell(name: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{name}" if name.startswith(_FORMULA) else name

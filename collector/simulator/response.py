"""Write an answer as JSON in the envelope, or as CSV."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from collector.contract.response import HttpReply, annotation_json, csv_chunks, format_timestamps, json_strings
from collector.model import Window
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.contract.request_parser import ApiRequest, SeriesRequest
    from collector.simulator.history import SimulatedHistory
    from collector.simulator.options import SimulatorOptions


_Columns = tuple[str, "Sequence[str]", "Sequence[str]"]


def answer(request: ApiRequest, history: SimulatedHistory, options: SimulatorOptions, now: float) -> HttpReply:
    """Return the correct answer to an accepted request."""
    normalization = history.scale(now, request.dataset).normalization
    counts = [history.counts(requested.query, requested.start, requested.end, now) for requested in request.series]
    totals = [
        history.counts(replace(requested.query, filters={}), requested.start, requested.end, now).values
        for requested in (request.series if normalization == "PERCENTAGE" else ())
    ]
    texts: Sequence[Sequence[str]] = scaled(
        [series_counts.values for series_counts in counts], totals, normalization, options.value_style
    )
    suffix = "Z" if options.timestamp_style == "seconds" else ".000Z"
    series: list[_Columns] = [
        (requested.name, format_timestamps(series_counts.timestamps, suffix), values)
        for requested, series_counts, values in zip(request.series, counts, texts, strict=True)
    ]
    if request.format == "CSV":
        return HttpReply(body="".join(csv_chunks(series)).encode(), content_type="text/csv")
    return HttpReply(body=_json(series, meta(request, history, options, now), options))


def _json(series: list[_Columns], about: dict[str, Any], options: SimulatorOptions) -> bytes:
    """Return the JSON text. It is joined, because dumping lists of a million points would slow down tests."""
    members = {"meta": json.dumps(about)}
    for name, timestamps, values in series:
        members[name] = f'{{"timestamps":{json_strings(timestamps)},"values":{json_strings(values)}}}'
    result = ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items())
    messages = '"messages":[],' if options.messages else ""
    return f'{{"success":true,"errors":[],{messages}"result":{{{result}}}}}'.encode()


def meta(request: ApiRequest, history: SimulatedHistory, options: SimulatorOptions, now: float) -> dict[str, Any]:
    """Return `result.meta`."""
    scale = history.scale(now, request.dataset)
    ranges = [
        {"startTime": _moment(requested.start, options), "endTime": _moment(_adjusted_end(requested, options), options)}
        for requested in request.series
    ]
    annotations = {
        annotation: None
        for requested in request.series
        for annotation in history.annotations(Window(from_epoch(requested.start), from_epoch(requested.end)), now)
    }
    return {
        "aggInterval": request.agg_interval.name,
        "confidenceInfo": {
            "level": options.confidence_level,
            "annotations": [annotation_json(annotation) for annotation in annotations],
        },
        "dateRange": ranges if options.date_range_style == "array" else ranges[0],
        "lastUpdated": _moment(history.last_updated(now), options),
        "normalization": scale.normalization,
        "units": [{"name": "*", "value": scale.unit}],
    }


def _adjusted_end(requested: SeriesRequest, options: SimulatorOptions) -> int:
    if options.adjusted_end == "asked":
        return requested.dates.end
    return requested.end if options.adjusted_end == "next" else requested.end - requested.query.agg_interval.seconds


def _moment(seconds: int, options: SimulatorOptions) -> str:
    text = rfc3339(from_epoch(seconds))
    return text if options.timestamp_style == "seconds" else text.replace("Z", ".000Z")


def scaled(
    counts: Sequence[Sequence[int]], totals: Sequence[Sequence[int]], normalization: str, style: str
) -> list[list[str]]:
    """Return the values of all series of one answer as texts; *totals* are the unfiltered counts, for PERCENTAGE only.

    MIN_MAX and MIN0_MAX scale over the whole answer, so their values do not compare with another answer's. Any other
    normalization than these three keeps the counts.
    """
    if normalization == "PERCENTAGE":
        pairs = zip(counts, totals, strict=True)
        return [[_text(100 * n / (total or 1)) for n, total in zip(ns, whole, strict=True)] for ns, whole in pairs]
    if normalization in ("MIN_MAX", "MIN0_MAX"):
        low = min(chain(*counts), default=0) if normalization == "MIN_MAX" else 0
        span = (max(chain(*counts), default=0) - low) or 1
        return [[_text((n - low) / span) for n in ns] for ns in counts]
    if style == "decimal":
        return [[f"{n}.0" for n in ns] for ns in counts]
    return [list(map(str, ns)) for ns in counts]


def _text(value: float) -> str:
    """Write six digits, as in `0.871752` and `1.4e-05`."""
    return f"{value:.6g}"

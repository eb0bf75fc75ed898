"""Write an answer by a dimension in the API's form: an array for each group, or one sum for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.contract.group_parser import OTHER
from collector.contract.response import csv_table, format_timestamps, quoted_timestamps
from collector.serve.radar_api.render import (
    cell,
    in_blocks,
    json_head,
    json_parts,
    json_text,
    meta,
    numbers,
    quoted_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from collector.contract.request_parser import ApiRequest
    from collector.report.gaps import AbsentBuckets
    from collector.serve.radar_api.grouping import DividedSeries
    from collector.serve.radar_api.render import AnswerMeta

TIMESTAMPS = "timestamps"
"""The key of the buckets, which no group can have."""


def write_groups_json(
    request: ApiRequest,
    series: Sequence[DividedSeries],
    about: AnswerMeta,
    absent: Sequence[AbsentBuckets],
    *,
    is_summary: bool,
) -> Iterator[str]:
    """Yield the answer to *request* as JSON."""
    meta_data = meta(request, series, about)
    if is_summary:
        meta_data.pop("aggInterval")
    yield json_head(meta_data, absent)
    for position, divided in zip(request.series, series, strict=True):
        yield f",{json_text(position.name)}:{{"
        yield from _sums(divided) if is_summary else _arrays(divided)
        yield "}"
    yield "}}"


def _columns(divided: DividedSeries) -> list[tuple[str, Sequence[float]]]:
    """Return the groups, and what is left if anything is. A group that is called `other` comes before what is left."""
    left = [(OTHER, divided.left)] if any(divided.left) else []
    return [*divided.listed.items(), *left]


def _sums(divided: DividedSeries) -> Iterator[str]:
    texts = (f"{json_text(name)}:{quoted_numbers(values)}" for name, values in _columns(divided))
    yield ",".join(texts)


def _arrays(divided: DividedSeries) -> Iterator[str]:
    yield f'"{TIMESTAMPS}":['
    yield from json_parts(divided.timestamps, quoted_timestamps)
    yield "]"
    for name, values in _columns(divided):
        yield f",{json_text(name)}:["
        yield from json_parts(values, quoted_numbers)
        yield "]"


def write_groups_csv(request: ApiRequest, series: Sequence[DividedSeries], *, is_summary: bool) -> Iterator[str]:
    """Yield the answer to *request* as CSV: for each series its timestamps, then a column for each group."""
    titles: list[str] = []
    columns: list[Iterable[str]] = []
    for position, divided in zip(request.series, series, strict=True):
        title = cell(position.name[:1].upper() + position.name[1:])
        if not is_summary:
            titles.append(f"{title} {TIMESTAMPS}")
            columns.append(in_blocks(divided.timestamps, format_timestamps))
        for name, values in _columns(divided):
            titles.append(f"{title} {name}")
            columns.append(in_blocks(values, numbers))
    return csv_table(titles, columns)

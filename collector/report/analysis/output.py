"""Answers as rows, CSV, JSON or Parquet; made line by line, so that only one line is in memory."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from collector.report.export import LICENCE, csv_cells, timestamp_text
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collector.report.analysis.points import Line, PointsAnswer

KEYS = ("profile", "series", "timestamp")


def write_csv(answer: PointsAnswer) -> Iterator[str]:
    """Yield CSV with a header; an empty cell has no value, and `reason` says why."""
    yield ",".join((*KEYS, *answer.columns)) + "\n"
    for _, line in answer.lines():
        label = csv_cells(line.profile, line.label)
        yield "".join([f"{label},{time},{','.join(cells)}\n" for time, cells in _texts(answer, line, _csv_text)])


def write_jsonl(answer: PointsAnswer) -> Iterator[str]:
    """Yield one JSON object per line."""
    for _, line in answer.lines():
        yield "".join([f"{text}\n" for text in json_objects(answer, line)])


def write_json(answer: PointsAnswer) -> Iterator[str]:
    """Yield one JSON array of the same objects."""
    opening = "["
    for _, line in answer.lines():
        yield opening + "\n" + ",\n".join(json_objects(answer, line))
        opening = ","
    yield "[]\n" if opening == "[" else "\n]\n"


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "json": write_json}
"""Each function turns an answer into the texts of one format."""


def json_objects(answer: PointsAnswer, line: Line, start: int = 0, end: int | None = None) -> Iterator[str]:
    """Yield the rows of a line from *start* up to *end* as JSON objects."""
    head = f'{{"profile":{_quoted(line.profile)},"series":{_quoted(line.label)},"timestamp":"'
    tail = f',"unit":{_quoted(line.unit)}'
    tail += f',"rest":{line.rest}' if line.rest else ""
    tail += f',"asked_at":"{rfc3339(line.asked_at)}"' if line.asked_at else ""
    names = [f',"{name}":' for name in answer.columns]
    for time, cells in _texts(answer, line, _json_text, start, end):
        yield f'{head}{time}"{"".join([name + cell for name, cell in zip(names, cells, strict=True)])}{tail}}}'


def _texts(
    answer: PointsAnswer, line: Line, text: Any, start: int = 0, end: int | None = None
) -> Iterator[tuple[str, Sequence[str]]]:
    times = _times(line.starts)[start:end]
    columns = [_column(line.cells[name][start:end], text) for name in answer.columns]
    return zip(times, zip(*columns, strict=True), strict=True)


@lru_cache(maxsize=4)
def _times(starts: tuple[int, ...]) -> list[str]:
    """Return the texts of *starts*, which all series of a profile share."""
    return list(map(timestamp_text, starts))


def _column(cells: Sequence[Any], text: Any) -> list[str]:
    kinds = set(map(type, cells))
    if kinds <= {int}:
        return list(map(str, cells))
    if len(kinds) == 1 and None in cells:
        return [text(None)] * len(cells)
    return [text(cell) for cell in cells]


def _csv_text(cell: Any) -> str:
    if cell is None:
        return ""
    return csv_cells(cell) if isinstance(cell, str) else number_text(cell)


def _json_text(cell: Any) -> str:
    if cell is None:
        return "null"
    return _quoted(cell) if isinstance(cell, str) else number_text(cell)


def number_text(value: float) -> str:
    """Return a number exactly, and a whole one without a decimal point."""
    if isinstance(value, int):  # which has no is_integer before Python 3.12
        return str(value)
    return str(int(value)) if value.is_integer() else repr(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def rows_as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    """Yield CSV of *rows* with a header; a cell without a value is empty."""
    yield ",".join(columns) + "\n"
    for row in rows:
        yield ",".join(_cell(row[name]) for name in columns) + "\n"


def plain_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return *rows* with whole numbers as integers, so that JSON has no decimal point."""
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _cell(value: Any) -> str:
    return rfc3339(value) if isinstance(value, datetime) else _csv_text(value)


def write_parquet(answer: PointsAnswer, sink: Any) -> None:
    """Write a Parquet file with the same columns and the unit. Raises ImportError without pyarrow."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = {"known": pa.int64(), "expected": pa.int64(), "rank": pa.int64(), "cumulative_missing": pa.int64()}
    kinds |= {"reason": pa.string()}
    fields = [pa.field(name, kinds.get(name, pa.float64())) for name in answer.columns]
    head = [pa.field("profile", pa.string()), pa.field("series", pa.string())]
    head.append(pa.field("timestamp", pa.timestamp("ms", tz="UTC")))
    schema = pa.schema([*head, *fields, pa.field("unit", pa.string())], metadata={"licence": LICENCE})
    with ParquetWriter(sink, schema, compression="zstd") as writer:
        for _, line in answer.lines():
            count = len(line.starts)
            cells = [line.cells[name] for name in answer.columns]
            times = [start * 1000 for start in line.starts]
            arrays = [[line.profile] * count, [line.label] * count, times, *cells, [line.unit] * count]
            writer.write_table(
                pa.table(
                    [pa.array(array, each.type) for array, each in zip(arrays, schema, strict=True)], schema=schema
                )
            )

"""Points as CSV, JSON or Parquet, written block by block, so that memory stays that of one block."""

from __future__ import annotations

import csv
import io
import json
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.store import Block

    AskedAt = Mapping[tuple[str, str], datetime]
    Format = Callable[[AsyncIterator[Block], AskedAt], AsyncIterator[bytes]]

LICENCE = "Data: Cloudflare Radar (https://radar.cloudflare.com), licensed CC BY-NC 4.0."
_NO_SNAPSHOT: AskedAt = MappingProxyType({})
COLUMNS = ("profile", "series", "timestamp", "value")
_DAY = 86_400


async def export_csv(blocks: AsyncIterator[Block], _asked: AskedAt = _NO_SNAPSHOT) -> AsyncIterator[bytes]:
    """Write CSV with a header, as in RFC 4180, except that lines end with a line feed alone."""
    yield f"{','.join(COLUMNS)}\n".encode()
    async for block in blocks:
        label = _csv_cells(block.profile, block.label)
        yield "".join([f"{label},{timestamp},{value}\n" for timestamp, value in _texts(block.points)]).encode()


async def export_jsonl(blocks: AsyncIterator[Block], asked: AskedAt = _NO_SNAPSHOT) -> AsyncIterator[bytes]:
    """Write one JSON object per line."""
    async for block in blocks:
        yield "".join([f"{line}\n" for line in _objects(block, asked)]).encode()


async def export_json(blocks: AsyncIterator[Block], asked: AskedAt = _NO_SNAPSHOT) -> AsyncIterator[bytes]:
    """Write one JSON array of the same objects."""
    opening = "["
    async for block in blocks:
        lines = ",\n".join(_objects(block, asked))
        if lines:
            yield f"{opening}\n{lines}".encode()
            opening = ","
    yield b"[]\n" if opening == "[" else b"\n]\n"


def export_parquet(blocks: AsyncIterator[Block], asked: AskedAt = _NO_SNAPSHOT) -> AsyncIterator[bytes]:
    """Write a Parquet file. Raises UsageError if pyarrow is not installed."""
    from collector.report import parquet

    return parquet.export(blocks, LICENCE, asked)


FORMATS: dict[str, Format] = {
    "csv": export_csv,
    "jsonl": export_jsonl,
    "json": export_json,
    "parquet": export_parquet,
}
"""Each turns blocks, as `Store.export_blocks` gives them, into bytes. All but CSV have the unit of every point, and
`asked_at` of the points of snapshots: when they were asked for, by (profile, label)."""


def _objects(block: Block, asked: AskedAt) -> Iterator[str]:
    label = f'"profile":{_quoted(block.profile)},"series":{_quoted(block.label)}'
    moment = asked.get((block.profile, block.label))
    rest = f'"unit":{_quoted(block.unit)}' + (f',"asked_at":"{rfc3339(moment)}"' if moment else "")
    return (f'{{{label},"timestamp":"{time}","value":{value},{rest}}}' for time, value in _texts(block.points))


def _texts(rows: Sequence[tuple[int, float]]) -> Iterator[tuple[str, int | float]]:
    """Return each timestamp as RFC 3339, and each value as it is printed: a whole one without a decimal point."""
    for timestamp, value in rows:
        whole = int(value) if value.is_integer() else value
        yield _date(timestamp // _DAY) + _time(timestamp % _DAY), whole


@lru_cache
def _date(day: int) -> str:
    return from_epoch(day * _DAY).strftime("%Y-%m-%dT")


@lru_cache(maxsize=1024)
def _time(second: int) -> str:
    return from_epoch(second).strftime("%H:%M:%SZ")


def _csv_cells(*texts: str) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(texts)  # it quotes either line break only because its lines end in both
    return buffer.getvalue().removesuffix("\r\n")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

"""Points as CSV, JSON or Parquet. They are written block by block, so only one block is in memory."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from shlex import quote
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from collector.contract.response import quoted_timestamps
from collector.errors import UsageError
from collector.store import Run
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.store import Block

    Points = Sequence[tuple[int, float]]
    AskedAt = Mapping[tuple[str, str], datetime]
    Format = Callable[[AsyncIterator[Block], AskedAt], AsyncIterator[bytes]]

LICENCE = "Data: Cloudflare Radar (https://radar.cloudflare.com), licensed CC BY-NC 4.0."
_NO_SNAPSHOT: AskedAt = MappingProxyType({})
COLUMNS = ("profile", "series", "timestamp", "value")
_DAY = 86_400


async def export_csv(blocks: AsyncIterator[Block], _asked_at: AskedAt = _NO_SNAPSHOT) -> AsyncIterator[bytes]:
    """Write CSV with a header, as in RFC 4180, except that lines end with a line feed alone."""
    yield f"{','.join(COLUMNS)}\n".encode()
    async for block in blocks:
        label = csv_cells(block.profile, block.label)
        yield "".join([f"{label},{timestamp},{value}\n" for timestamp, value in _texts(block.points)]).encode()


async def export_jsonl(blocks: AsyncIterator[Block], asked_at: AskedAt = _NO_SNAPSHOT) -> AsyncIterator[bytes]:
    """Write one JSON object per line."""
    async for block in blocks:
        yield "".join([f"{line}\n" for line in _objects(block, asked_at)]).encode()


async def export_json(blocks: AsyncIterator[Block], asked_at: AskedAt = _NO_SNAPSHOT) -> AsyncIterator[bytes]:
    """Write one JSON array of the same objects."""
    opening = "["
    async for block in blocks:
        lines = ",\n".join(_objects(block, asked_at))
        if lines:
            yield f"{opening}\n{lines}".encode()
            opening = ","
    yield b"[]\n" if opening == "[" else b"\n]\n"


def export_parquet(blocks: AsyncIterator[Block], asked_at: AskedAt = _NO_SNAPSHOT) -> AsyncIterator[bytes]:
    """Write a Parquet file. Raises UsageError if pyarrow is not installed."""
    return write_parquet(blocks, LICENCE, asked_at)


FORMATS: dict[str, Format] = {
    "csv": export_csv,
    "jsonl": export_jsonl,
    "json": export_json,
    "parquet": export_parquet,
}
"""Each function turns the blocks of `Store.export_blocks` into bytes. All formats but CSV have the unit of every point,
and `asked_at` of the points of snapshots: when the snapshot was requested. It is given by (profile, label)."""


def _objects(block: Block, asked_at: AskedAt) -> Iterator[str]:
    moment = asked_at.get((block.profile, block.label))
    return point_objects(block.points, block.profile, block.label, block.unit, moment)


def point_objects(
    points: Run | Points, profile: str, label: str, unit: str, asked_at: datetime | None
) -> Iterator[str]:
    """Yield each point as a JSON object; *asked_at* is when the snapshot was requested that the points are of."""
    names = f'"profile":{_quoted(profile)},"series":{_quoted(label)}'
    rest = f'"unit":{_quoted(unit)}' + (f',"asked_at":"{rfc3339(asked_at)}"' if asked_at else "")
    return (f'{{{names},"timestamp":"{time}","value":{value},{rest}}}' for time, value in _texts(points))


def _texts(points: Run | Points) -> Iterator[tuple[str, Any]]:
    """Yield each timestamp as RFC 3339, and each value as it is printed: a whole number without a decimal point."""
    if isinstance(points, Run):
        timestamps = quoted_timestamps(points.timestamps)[1:-1].split('","')
        yield from zip(timestamps, points.values.split(","), strict=True)
        return
    for timestamp, value in points:
        printed = int(value) if value.is_integer() else value
        yield timestamp_text(timestamp), printed


@lru_cache
def _date(day: int) -> str:
    return from_epoch(day * _DAY).strftime("%Y-%m-%dT")


@lru_cache(maxsize=1024)
def _time(second: int) -> str:
    return from_epoch(second).strftime("%H:%M:%SZ")


def timestamp_text(timestamp: int) -> str:
    """Return epoch seconds as RFC 3339."""
    return _date(timestamp // _DAY) + _time(timestamp % _DAY)


def csv_cells(*texts: str) -> str:
    """Return *texts* as cells of a line of CSV, quoted where that is needed."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow(texts)  # because its lines end in "\r\n", it quotes either of the two
    return buffer.getvalue().removesuffix("\r\n")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_ROWS_PER_GROUP = 100_000
"""Fewer rows compress badly and are read slowly. More take memory: a group is built in memory and then written."""


def write_parquet(blocks: AsyncIterator[Block], licence: str, asked_at: AskedAt) -> AsyncIterator[bytes]:
    """Write profile, series and unit as dictionaries, timestamp in UTC, value as a double; *licence* is metadata.

    *asked_at* must be complete when the first block comes. If it is not empty, there is a column with it. Raises
    UsageError if pyarrow is not installed.
    """
    check_parquet()
    return _parquet_chunks(blocks, licence, asked_at)


def check_parquet() -> None:
    """Raise UsageError if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise UsageError(f"Parquet needs pyarrow, which is not installed; {how_to_install('pyarrow', 'parquet')}")


async def _parquet_chunks(blocks: AsyncIterator[Block], licence: str, asked_at: AskedAt) -> AsyncIterator[bytes]:
    from pyarrow.parquet import ParquetWriter

    sink = _Sink()
    first = await anext(blocks, None)
    schema = _schema(licence, snapshots=bool(asked_at))
    # Timestamps at equal distances take very little space as differences.
    encoding: dict[str, Any] = {
        "use_dictionary": ["profile", "series", "unit"],
        "column_encoding": {"timestamp": "DELTA_BINARY_PACKED"},
    }
    with ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True, **encoding) as writer:
        group = _Group(asked_at)
        if first is not None:
            group.add(first)
        async for block in blocks:
            group.add(block)
            if len(group.values) >= _ROWS_PER_GROUP:
                writer.write_table(group.table(schema))
                group = _Group(asked_at)
                yield sink.take()
        if group.values:
            writer.write_table(group.table(schema))
    yield sink.take()


def _schema(licence: str, *, snapshots: bool) -> Any:
    import pyarrow as pa

    label = pa.dictionary(pa.int32(), pa.string())
    fields = [
        pa.field("profile", label, nullable=False),
        pa.field("series", label, nullable=False),
        # Milliseconds are the coarsest that Parquet has.
        pa.field("timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("unit", label, nullable=False),
    ]
    fields += [pa.field("asked_at", pa.timestamp("us", tz="UTC"))] if snapshots else []
    return pa.schema(fields, metadata={"licence": licence})


class _Sink(io.RawIOBase):
    """A file in memory; `take` returns and removes what was written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._position += len(self._parts[-1])
        return len(self._parts[-1])

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class _Group:
    """The rows of a row group: columns of numbers, and each label with its number of rows."""

    def __init__(self, asked_at: AskedAt) -> None:
        self._asked_at = asked_at
        self.timestamps: list[int] = []
        self.values: list[float] = []
        self._runs: list[tuple[str, str, str, int]] = []

    def add(self, block: Block) -> None:
        self.timestamps += [timestamp * 1000 for timestamp, _ in block.points]
        self.values += [value for _, value in block.points]
        self._runs.append((block.profile, block.label, block.unit, len(block.points)))

    def table(self, schema: Any) -> Any:
        import pyarrow as pa

        profiles, series, units = (_repeated([(run[n], run[-1]) for run in self._runs]) for n in range(3))
        numbers = pa.array(self.timestamps, schema.field("timestamp").type), pa.array(self.values, pa.float64())
        columns = [profiles, series, *numbers, units]
        if "asked_at" in schema.names:
            kind = schema.field("asked_at").type
            moments = [(self._asked_at.get((profile, label)), rows) for profile, label, _, rows in self._runs]
            columns.append(pa.concat_arrays([pa.repeat(pa.scalar(moment, kind), rows) for moment, rows in moments]))
        return pa.table(columns, schema=schema)


def _repeated(runs: list[tuple[Any, Any]]) -> Any:
    """Return a dictionary-encoded column; *runs* has each text with its number of rows."""
    import pyarrow as pa

    numbers = {text: number for number, text in enumerate(dict.fromkeys(text for text, _ in runs))}
    indices = [pa.repeat(pa.scalar(numbers[text], pa.int32()), rows) for text, rows in runs]
    return pa.DictionaryArray.from_arrays(pa.concat_arrays(indices), pa.array(list(numbers), pa.string()))


_DISTRIBUTION = "radar-collector"


def how_to_install(module: str, extra: str) -> str:
    """Return the command that installs *extra*. It names packages, because a checkout is not always there."""
    packages = " ".join(quote(requirement) for requirement in _requirements(extra) or [module])
    if find_spec("pip"):
        return f"install it: {quote(sys.executable)} -m pip install {packages}"
    return (  # the Docker image, and environments of other installers
        f"add {packages} to the environment {sys.prefix} by what made it, "
        f"or build the Docker image with --build-arg EXTRAS={extra}"
    )


def _requirements(extra: str) -> list[str]:
    """Return the requirements of *extra*, without the marker; an empty list if the distribution is not installed."""
    try:
        declared = metadata.requires(_DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:  # modules on PYTHONPATH
        return []
    matches = (re.fullmatch(rf"(.+?)\s*;\s*extra == ['\"]{extra}['\"]", text) for text in declared)
    return [match[1] for match in matches if match]

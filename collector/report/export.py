"""Points as CSV, JSON or Parquet, written block by block, so that memory stays that of one block."""

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

from collector.errors import UsageError
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
    return write_parquet(blocks, LICENCE, asked)


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


_ROWS_PER_GROUP = 100_000
"""Much fewer compress badly and read slowly, more take memory: a group is built in memory before it is written."""


def write_parquet(blocks: AsyncIterator[Block], licence: str, asked: AskedAt) -> AsyncIterator[bytes]:
    """Write profile, series and unit as dictionaries, timestamp in UTC, value as a double; *licence* is metadata.

    If there are snapshots, which *asked* has to say before the first block comes, a column says when they were asked
    for. UsageError where pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise UsageError(f"Parquet needs pyarrow, which is not installed; {how_to_install('pyarrow', 'parquet')}")
    return _parquet_chunks(blocks, licence, asked)


async def _parquet_chunks(blocks: AsyncIterator[Block], licence: str, asked: AskedAt) -> AsyncIterator[bytes]:
    from pyarrow.parquet import ParquetWriter

    sink = _Sink()
    first = await anext(blocks, None)
    schema = _schema(licence, snapshots=bool(asked))
    # Timestamps a step apart take next to nothing as differences.
    encoding: dict[str, Any] = {
        "use_dictionary": ["profile", "series", "unit"],
        "column_encoding": {"timestamp": "DELTA_BINARY_PACKED"},
    }
    with ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True, **encoding) as writer:
        group = _Group(asked)
        if first is not None:
            group.add(first)
        async for block in blocks:
            group.add(block)
            if len(group.values) >= _ROWS_PER_GROUP:
                writer.write_table(group.table(schema))
                group = _Group(asked)
                yield sink.taken()
        if group.values:
            writer.write_table(group.table(schema))
    yield sink.taken()


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
    """A file that forgets what is taken out of it."""

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

    def taken(self) -> bytes:
        found = b"".join(self._parts)
        self._parts.clear()
        return found


class _Group:
    """The rows of a row group: columns of numbers, and labels by how many rows each has."""

    def __init__(self, asked: AskedAt) -> None:
        self._asked = asked
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
            moments = [(self._asked.get((profile, label)), rows) for profile, label, _, rows in self._runs]
            columns.append(pa.concat_arrays([pa.repeat(pa.scalar(moment, kind), rows) for moment, rows in moments]))
        return pa.table(columns, schema=schema)


def _repeated(runs: list[tuple[Any, Any]]) -> Any:
    """A dictionary-encoded column of texts, each so many times."""
    import pyarrow as pa

    known = {text: number for number, text in enumerate(dict.fromkeys(text for text, _ in runs))}
    indices = [pa.repeat(pa.scalar(known[text], pa.int32()), times) for text, times in runs]
    return pa.DictionaryArray.from_arrays(pa.concat_arrays(indices), pa.array(list(known), pa.string()))


_DISTRIBUTION = "radar-collector"


def how_to_install(module: str, extra: str) -> str:
    """Return the command for *extra*. It names packages: that works beside a wheel, a checkout and an editable copy."""
    wanted = " ".join(quote(requirement) for requirement in _requirements(extra) or [module])
    if find_spec("pip"):
        return f"install it: {quote(sys.executable)} -m pip install {wanted}"
    return (  # the Docker image, and environments of other installers
        f"add {wanted} to the environment {sys.prefix} by what made it, "
        f"or build the Docker image with --build-arg EXTRAS={extra}"
    )


def _requirements(extra: str) -> list[str]:
    """Return what the installed distribution declares for *extra*, without the marker; none if it is not installed."""
    try:
        declared = metadata.requires(_DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:  # modules on PYTHONPATH
        return []
    found = (re.fullmatch(rf"(.+?)\s*;\s*extra == ['\"]{extra}['\"]", text) for text in declared)
    return [match[1] for match in found if match]

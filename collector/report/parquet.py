"""Points as a Parquet file, one row group at a time."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from collector.errors import UsageError
from collector.report.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from collector.report.export import AskedAt
    from collector.store import Block

_ROWS_PER_GROUP = 100_000
"""Much fewer compress badly and read slowly, more take memory: a group is built in memory before it is written."""


def export(blocks: AsyncIterator[Block], licence: str, asked: AskedAt) -> AsyncIterator[bytes]:
    """Write profile, series and unit as dictionaries, timestamp in UTC, value as a double; *licence* is metadata.

    If there are snapshots, which *asked* has to say before the first block comes, a column says when they were asked
    for. UsageError where pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise UsageError(f"Parquet needs pyarrow, which is not installed; {how_to_install('pyarrow', 'parquet')}")
    return _export(blocks, licence, asked)


async def _export(blocks: AsyncIterator[Block], licence: str, asked: AskedAt) -> AsyncIterator[bytes]:
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

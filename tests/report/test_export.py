import csv
import io
import json
import tracemalloc
from contextlib import aclosing
from datetime import UTC, datetime
from importlib.util import find_spec

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from collector.errors import UsageError
from collector.report.export import FORMATS, LICENCE
from collector.store import Block, Store
from tests.store.making import DAY, START, STEP, at, batch, hours, profile, query, saved

OWNER = 'by-owner/DigiCert, "Inc."'
BLOCKS = [
    Block("all", "all", [(at(0), 12.0), (at(1), 0.5)], "certificates"),
    Block("by-owner", OWNER, [(at(0), 1e16), (at(1), 3.0000000000000004)], 'of "many"'),
]


async def _blocks(blocks):
    for block in blocks:
        yield block


async def _exported(format_, blocks):
    return b"".join([part async for part in FORMATS[format_](_blocks(blocks))])


async def test_csv_has_a_header_and_quotes_what_needs_it():
    assert (await _exported("csv", BLOCKS)).decode() == (
        "profile,series,timestamp,value\n"
        "all,all,2026-04-30T00:00:00Z,12\n"
        "all,all,2026-04-30T01:00:00Z,0.5\n"
        'by-owner,"by-owner/DigiCert, ""Inc.""",2026-04-30T00:00:00Z,10000000000000000\n'
        'by-owner,"by-owner/DigiCert, ""Inc.""",2026-04-30T01:00:00Z,3.0000000000000004\n'
    )


async def test_jsonl_has_an_object_a_line():
    assert (await _exported("jsonl", BLOCKS[:1])).decode() == (
        '{"profile":"all","series":"all","timestamp":"2026-04-30T00:00:00Z","value":12,"unit":"certificates"}\n'
        '{"profile":"all","series":"all","timestamp":"2026-04-30T01:00:00Z","value":0.5,"unit":"certificates"}\n'
    )


async def test_json_is_an_array_of_the_same_objects():
    lines = (await _exported("jsonl", BLOCKS)).splitlines()
    assert json.loads(await _exported("json", BLOCKS)) == [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("format_", "expected"), [("csv", "profile,series,timestamp,value\n"), ("jsonl", ""), ("json", "[]\n")]
)
@pytest.mark.parametrize("blocks", [[], [Block("all", "all", [])]])
async def test_nothing_is_exported_as_nothing_in_its_format(format_, expected, blocks):
    assert (await _exported(format_, blocks)).decode() == expected


ROWS = st.lists(
    st.tuples(st.integers(0, 4_102_444_800), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=5
)
LABELS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9).map("p/{}".format)


@given(st.lists(st.builds(Block, st.just("p"), LABELS, ROWS, LABELS), max_size=4))
async def test_every_format_gives_back_every_label_moment_and_value(blocks):
    rows = [(b.profile, b.label, datetime.fromtimestamp(t, UTC), v) for b in blocks for t, v in b.points]
    text = (await _exported("csv", blocks)).decode()
    parsed = list(csv.DictReader(io.StringIO(text, newline="")))
    objects = json.loads(await _exported("json", blocks))
    for read in (parsed, objects):
        found = [
            (row["profile"], row["series"], datetime.fromisoformat(row["timestamp"]), float(row["value"]))
            for row in read
        ]
        assert found == rows
    assert [row["unit"] for row in objects] == [b.unit for b in blocks for _ in b.points]


async def test_parquet_has_dictionaries_moments_in_utc_doubles_and_the_licence():
    table = parquet.read_table(pa.BufferReader(await _exported("parquet", BLOCKS)))
    label = pa.dictionary(pa.int32(), pa.string())
    assert table.schema.types == [label, label, pa.timestamp("ms", tz="UTC"), pa.float64(), label]
    assert table.schema.metadata[b"licence"].decode() == LICENCE
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [
        (p, s, datetime.fromtimestamp(t, UTC), v, unit) for p, s, found, unit, _ in BLOCKS for t, v in found
    ]


async def test_parquet_of_several_row_groups_is_one_table(monkeypatch):
    monkeypatch.setattr("collector.report.export._ROWS_PER_GROUP", 3)
    blocks = [Block("p", f"p/{n % 3}", [(at(n), float(n))]) for n in range(10)]
    file = parquet.ParquetFile(pa.BufferReader(await _exported("parquet", blocks)))
    assert file.num_row_groups == 4
    assert file.read().column("series").to_pylist() == [block.label for block in blocks]


async def test_parquet_without_points_is_a_table_without_rows():
    table = parquet.read_table(pa.BufferReader(await _exported("parquet", [])))
    assert (table.num_rows, table.column_names) == (0, ["profile", "series", "timestamp", "value", "unit"])


async def test_parquet_without_its_extra_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(
        "collector.report.export.find_spec", lambda module: None if module == "pyarrow" else find_spec(module)
    )
    with pytest.raises(UsageError, match=r"-m pip install 'pyarrow>="):
        FORMATS["parquet"](_blocks([]))


async def _peak(store, format_, points):
    """The most memory that an export of so many points held at once, and how many bytes it gave."""
    size = 0
    tracemalloc.start()
    try:
        async with aclosing(store.export_blocks([], DAY, hours(0, points).end)) as blocks:
            async for part in FORMATS[format_](blocks):
                size += len(part)
        return tracemalloc.get_traced_memory()[1], size
    finally:
        tracemalloc.stop()


async def test_memory_does_not_grow_with_what_is_exported(store_url, monkeypatch):
    monkeypatch.setattr("collector.report.export._ROWS_PER_GROUP", 3_000)
    few, many = 6_000, 24_000
    asked = batch((query(), hours(0, many)))
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], DAY)
        await saved(store, asked, [float(n) for n in range(many)])
    async with Store.open(store_url, owner=None) as store:
        for format_ in FORMATS:
            await _peak(store, format_, 1_000)
            (low, small), (high, large) = await _peak(store, format_, few), await _peak(store, format_, many)
            assert large > 3 * small
            assert high - low < 200_000, format_


async def test_rows_and_blocks_hold_the_same_points(store):
    await store.activate_labels([profile()], DAY)
    await saved(store, batch((query(), hours(0, 2500))), [float(n) for n in range(2500)])
    blocks = [block async for block in store.export_blocks()]
    rows = [row async for row in store.export()]
    assert rows == [("all", "all", START + STEP * n, float(n)) for n in range(2500)]
    assert rows == [(block.profile, block.label, *point) for block in blocks for point in block.points]
    assert len(blocks) > 1

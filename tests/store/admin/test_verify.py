import random
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from collector.interval import AggInterval
from collector.model import Annotation
from collector.settings import RetentionSettings
from collector.store import NotAStore, SchemaTooOld, Store, StoreCorrupt, StoreMissing
from collector.store.admin import verify as verify_module
from collector.store.admin.verify import VerifyResult, verify
from collector.store.checksums import CheckedRange, checksum, microseconds
from collector.store.db import sqlite_file
from collector.store.db.schema import APPLICATION_ID
from collector.store.write.diff import Difference, ReplacedValue, written
from collector.timestamps import from_epoch
from tests.conftest import in_a_thread
from tests.harness.corruption import WEEK, dumped, fill, findings, whole
from tests.harness.factories import DAY, HOUR, NOW, batch, dump, hours, query, saved

LATER = NOW + timedelta(minutes=15)


@pytest.fixture(scope="module")
def filled_file(sqlite_template, tmp_path_factory):
    """A store worth damaging, to be copied."""
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("filled") / "collector.db"))
    in_a_thread(fill(f"sqlite:///{path}"))
    return whole(path)


@pytest.fixture
def larger(sqlite_template, tmp_path):
    """A store whose values take more of the file than its empty tables."""
    path = Path(shutil.copy(sqlite_template, tmp_path / "collector.db"))
    in_a_thread(fill(f"sqlite:///{path}", weeks=12))
    return whole(path)


@pytest.fixture(scope="module")
def filled_database(postgres_server, postgres_template):
    """A store worth damaging, to be cloned."""
    url = postgres_server.create(postgres_template)
    in_a_thread(fill(url.render_as_string(hide_password=False)))
    yield url.database
    postgres_server.drop(url)


@pytest.fixture
def path(filled_file, tmp_path):
    return Path(shutil.copy(filled_file, tmp_path / "collector.db"))


@pytest.fixture
def cloned(postgres_server, filled_database):
    url = postgres_server.create(filled_database)
    yield url.render_as_string(hide_password=False)
    postgres_server.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """The address of a store worth damaging: the test runs once on each database."""
    return (
        f"sqlite:///{request.getfixturevalue('path')}"
        if request.param == "sqlite"
        else request.getfixturevalue("cloned")
    )


async def damage(url, *statements):
    async with Store.open(url, owner="test") as store:

        def work(connection):
            for statement in statements:
                connection.exec_driver_sql(statement)

        await store._database.write(work)


async def test_it_works(url):
    verified = verify(url)
    assert (verified.points, verified.series, verified.checksums) == (4 * 3 * WEEK, 4, 24)
    assert verified.findings == []


async def test_it_works_beside_whoever_writes(url):
    async with Store.open(url, owner="run") as store:
        await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4], now=LATER + 9 * HOUR, updated=LATER + 9 * HOUR)
        assert (verify(url)).findings == []


async def test_relative_answers_are_sound(store_url):
    async with Store.open(store_url, owner="test") as store:
        for end in (24, 12, 18):
            now = LATER + end * HOUR
            await saved(
                store, batch((query(), hours(0, end))), range(end), normalization="MIN_MAX", now=now, updated=now
            )
    assert (verify(store_url)).findings == []


DAMAGE = {
    "UPDATE points SET value = 1.5 WHERE fetch_id = 1": "what fetch 1 brought for 2026-04-30T00:00:00Z..",
    "UPDATE revisions SET value = value + 1 WHERE fetch_id = 1": "what fetch 1 brought",
    "UPDATE points SET fetch_id = 1 WHERE fetch_id = 2": "what fetch 2 brought",
    "UPDATE points SET fetch_id = 9 WHERE fetch_id = 2": "said to be from fetch 9",
    "DELETE FROM points WHERE fetch_id = 2": "points counted as they came",
    "UPDATE points SET series_id = 77 WHERE series_id = 2": "points of a series 77",
    "UPDATE answers SET start_time = end_time WHERE fetch_id = 1": "what fetch 1 brought",
    "UPDATE answers SET checksum = checksum + 1 WHERE fetch_id = 1": "what fetch 1 brought",
    "DELETE FROM answers WHERE fetch_id = 1": "said to be from fetch 1",
    "UPDATE answers SET set_id = 77 WHERE fetch_id = 1": "answers of a set of series that is not there",
    "DELETE FROM series_set_members WHERE series_id = 2": "the set 1 of series has not the members",
    "INSERT INTO series_set_members VALUES (1, 77)": "rows of date_ranges of a series that does not exist",
    "DELETE FROM fetches WHERE id = 1": "date ranges of a fetch that is not on record",
    "UPDATE fetches SET unit = 'x' WHERE id = 1": "with another unit, normalization or interval",
    "UPDATE series SET unit = 'x' WHERE id = 1": "with another unit, normalization or interval",
    'UPDATE series SET filters = \'{"tld":["a"]}\' WHERE id = 1': "what series 1 asks for is not what it was",
    "UPDATE series SET agg_interval = '15' WHERE id = 1": "has buckets of '15'",
    "UPDATE revisions SET replaced_by = 5 WHERE fetch_id = 1": "revisions that were replaced by a value",
    "DELETE FROM points WHERE series_id = 2": "buckets marked as vanished that were never there",
    "UPDATE annotations SET description = 'x' WHERE id = 1": "annotation 1 of 2026-04-30T00:00:00Z is not what it was",
    "DELETE FROM withdrawals WHERE annotation_id = 1": "annotations that a later answer lacked",
    "DELETE FROM annotations WHERE id = 1": "withdrawals of an annotation that is not there",
    "UPDATE profile_series SET series_id = 77 WHERE series_id = 1": "names a series that does not exist",
    "UPDATE profile_series SET profile = 'alm' WHERE series_id = 1": "is not one that the profile 'alm' gives",
    "UPDATE fires SET outcome = 'collectee'": "has an outcome 'collectee'",
    "UPDATE fires SET outcome = 'coalesced' WHERE profile = 'all'": "fires of all: they are not what they were",
    "UPDATE fires SET profile = 'alm'": "fires of alm: counted as they came: 0; stored: 30",
    "DELETE FROM fires": "fires of all: counted as they came: 30; stored: 0",
    "DELETE FROM vanished": "vanished buckets of series 2: counted as they came: 1; stored: 0",
    "UPDATE vanished SET timestamp = (SELECT max(timestamp) FROM points WHERE series_id = 2) "
    "WHERE timestamp = (SELECT max(timestamp) FROM vanished)": "vanished buckets of series 2: they are not what they",
    "DELETE FROM seals WHERE part = 'fires of all'": "fires of all: counted as they came: 0; stored: 30",
}
"""What may happen to a store, and the words by which it is told."""


@pytest.mark.parametrize("statement", DAMAGE)
async def test_what_does_not_fit_is_found(url, statement):
    await damage(url, statement)
    found = (verify(url)).findings
    assert any(DAMAGE[statement] in finding for finding in found), found


SQLITE_DAMAGE = {
    "UPDATE fires SET due = due + 1": "all: a fire was due at 2026-04-30T00:00:01Z, when no bucket ends",
    "UPDATE series_set_members SET series_id = 77 WHERE series_id = 2": "rows of date_ranges of a series that does",
    "UPDATE revisions SET series_id = 77 WHERE series_id = 2": "rows of revisions of a series that does not exist",
    "UPDATE series SET points = points + 1 WHERE id = 1": "all: points counted as they came: 505; stored: 504",
    "UPDATE points SET series_id = 77 WHERE series_id = 2": "points of a series 77 that does not exist: 504",
    """UPDATE annotations SET tags = '["x"]' WHERE id = 1""": "annotation 1 of 2026-04-30T00:00:00Z is not what it was",
    "UPDATE annotations SET is_instantaneous = 1 WHERE id = 1": "annotation 1 of 2026-04-30T00:00:00Z is not what it",
    "UPDATE annotations SET linked_url = 'x' WHERE id = 1": "annotation 1 of 2026-04-30T00:00:00Z is not what it was",
    "UPDATE fetches SET outcome = 'failed' WHERE id = 1": "interval than their fetch brought: 4",
    "UPDATE fetches SET agg_interval = '1d' WHERE id = 1": "interval than their fetch brought: 4",
    "UPDATE fetches SET normalization = 'PERCENTAGE' WHERE id = 1": "interval than their fetch brought: 4",
    "UPDATE fetches SET unit = NULL WHERE id = 1": "interval than their fetch brought: 4",
    "UPDATE fetches SET normalization = NULL WHERE id = 1": "interval than their fetch brought: 4",
    "DELETE FROM fetches WHERE id = 1": "date ranges of a fetch that is not on record: 4",
    "UPDATE vanished SET timestamp = timestamp + 1": "buckets marked as vanished that were never there: 1",
}
"""The same on one database, with its numbers."""


@pytest.mark.parametrize("statement", SQLITE_DAMAGE)
async def test_what_does_not_fit_is_counted(path, statement):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
    found = await findings(path)
    assert any(SQLITE_DAMAGE[statement] in finding for finding in found), found


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fetches SET unit = upper(unit) || ' '",
        "UPDATE fetches SET normalization = 'raw_values' WHERE id = 1",
        "UPDATE series SET unit = ' ' || unit",
    ],
)
async def test_case_and_blanks_of_a_unit_are_no_damage(path, statement):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    assert await findings(path) == []


async def test_the_spelling_of_a_known_normalization_changes_no_dump(path):
    url = f"sqlite:///{path}"
    before = dump(url)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE fetches SET normalization = 'RAW_VaLUES' WHERE id = 1")
    assert dump(url) == before


async def test_a_store_is_compared_in_small_blocks_alike(path, monkeypatch):
    monkeypatch.setattr(verify_module, "_ROWS_AT_ONCE", 7)
    verified = verify(f"sqlite:///{path}")
    assert (verified.checksums, verified.findings) == (24, [])


@pytest.mark.parametrize(
    ("lacked", "remark", "window", "seconds"),
    [
        (False, (4, ""), (4, 6), 60),
        (True, (4, ""), (3, 6), 60),
        (False, (4, ""), (0, 2), 60),
        (True, (None, ""), (6, 8), 60),
        (False, (2, "instantaneous"), (2, 4), 60),
        (True, (2, "instantaneous"), (1, 4), 60),
        (True, (4, ""), (3, 6), 0),
        (False, (4, ""), (3, 6), -60),
    ],
)
async def test_an_annotation_that_an_answer_should_have_had_needs_a_withdrawal(
    sqlite_url, lacked, remark, window, seconds
):
    end, kind = remark
    moments = DAY + 2 * HOUR, None if end is None else DAY + end * HOUR
    remark = Annotation(*moments, "ALL", "EVENT", "", "", is_instantaneous=bool(kind))
    later = NOW + timedelta(seconds=60)
    async with Store.open(sqlite_url, owner="test") as store:
        await saved(store, batch((query(), hours(0, 8))), [1] * 8, annotations=[remark])
        updated = NOW + timedelta(seconds=seconds)
        asked = batch((query(), hours(*window)))
        await saved(store, asked, [1] * (window[1] - window[0]), now=later, updated=updated)
    assert (verify(sqlite_url)).findings == []
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection, connection:
        gone = connection.execute("DELETE FROM withdrawals").rowcount
    said = "annotations that a later answer lacked, and no withdrawal says so: 1"
    assert (gone, said in (verify(sqlite_url)).findings) == (lacked, lacked)


def answered(start, end, timestamps, values, **changes):
    """A date range of fetch 2 of series 1, with the checksum of what was written there."""
    head = CheckedRange(1, 2, start, end, 0, 60_000_000)._replace(**changes)
    return 2, start, end, from_epoch(0), from_epoch(60), checksum(head, timestamps, values)


MONDAY = 345_600
H = 3600
THREE = [(2, n * H, float(n)) for n in range(3)]
NOT_WHAT_IT_WAS = "what fetch 2 brought for 1970-01-01T0{}:00:00Z..1970-01-01T0{}:00:00Z is not what it was (checksum)"
BESIDE = "fetch 2 has values beside the grid of buckets"


def of_three(start, end):
    found = [n for n in range(3) if start <= n < end]
    return answered(start * H, end * H, [n * H for n in found], [float(n) for n in found])


@pytest.mark.parametrize(
    ("expected", "wrote", "ranges", "step"),
    [
        ([], [], [], H),
        ([], THREE, [of_three(0, 3)], H),
        ([], THREE, [of_three(0, 2), of_three(1, 3)], H),
        ([], THREE, [of_three(0, 1), of_three(1, 3), of_three(5, 7)], H),
        ([NOT_WHAT_IT_WAS.format(0, 3)], THREE, [(*of_three(0, 3)[:5], 7)], H),
        ([NOT_WHAT_IT_WAS.format(0, 3)], [*THREE[:2], (2, 2 * H, 2.5)], [of_three(0, 3)], H),
        ([NOT_WHAT_IT_WAS.format(0, 3)], [*THREE[:2], (2, 2 * H, "x")], [of_three(0, 3)], H),
        ([NOT_WHAT_IT_WAS.format(0, 3)], [*THREE[:2], (2, 2 * H, None)], [of_three(0, 3)], H),
        ([NOT_WHAT_IT_WAS.format(1, 3)], [*THREE[:2], (2, 2 * H, 2.5)], [of_three(0, 2), of_three(1, 3)], H),
        ([NOT_WHAT_IT_WAS.format(0, 3)], THREE, [answered(0, 3 * H, [0, H, 2 * H], [0.0, 1.0, 2.0], fetch_id=3)], H),
        ([BESIDE], [(2, 9, 1.0)], [answered(0, H, [9], [1.0])], H),
        ([], [(2, MONDAY, 1.0)], [answered(MONDAY, MONDAY + 168 * H, [MONDAY], [1.0])], 168 * H),
        ([BESIDE], [(2, 0, 1.0)], [answered(0, 168 * H, [0], [1.0])], 168 * H),
        (["values said to be from fetch 2, which brought none there: 3"], THREE, [], H),
        (["values said to be from fetch 2, which brought none there: 1"], THREE, [of_three(0, 2)], H),
        (["values said to be from fetch 2, which brought none there: 2"], THREE, [of_three(1, 2)], H),
    ],
)
def test_what_a_fetch_wrote_is_compared_with_what_it_answered(expected, wrote, ranges, step):
    assert verify_module.compare(1, 2, wrote, ranges, step) == expected


def test_a_range_outside_of_the_calendar_is_shown_in_seconds():
    [finding] = verify_module.compare(1, 2, [], [(2, 10**15, 10**15 + 1, from_epoch(0), from_epoch(60), 7)], H)
    assert finding == f"what fetch 2 brought for {10**15}..{10**15 + 1} is not what it was (checksum)"


def stream(*groups):
    for key in groups:
        yield key, [key]


@pytest.mark.parametrize(
    ("expected", "left", "right"),
    [
        ([], (), ()),
        ([(1, [1], [1]), (2, [2], []), (3, [], [3]), (4, [4], [4])], (1, 2, 4), (1, 3, 4)),
        ([(1, [], [1]), (2, [], [2])], (), (1, 2)),
        ([(1, [1], []), (2, [2], [])], (1, 2), ()),
        ([(1, [1], []), (2, [], [2]), (3, [3], [])], (1, 3), (2,)),
    ],
)
def test_groups_of_two_streams_are_paired_by_their_keys(expected, left, right):
    assert [*verify_module._side_by_side(stream(*left), stream(*right))] == expected


async def test_values_beside_the_grid_are_found(sqlite_url):
    await fill(sqlite_url, weeks=1)
    await damage(sqlite_url, "UPDATE points SET timestamp = timestamp + 1 WHERE series_id = 1 AND fetch_id = 2")
    assert any("beside the grid" in finding for finding in (verify(sqlite_url)).findings)


def test_of_many_findings_the_first_are_enough():
    verified = VerifyResult()
    for number in range(1000):
        verified.add(f"finding {number}")
    assert len(verified.findings) == 101
    assert verified.findings[-2:] == ["finding 99", "… and more: only the first 100 findings are shown"]


@pytest.mark.parametrize("flips", [30, pytest.param(400, marks=pytest.mark.campaign)])
async def test_flipped_bits_that_change_what_is_known_are_found(larger, tmp_path, flips):
    """Bits all over the file: a page of values is as likely to be hit as it is large."""
    good, content = dumped(larger), larger.read_bytes()
    dice, changing = random.Random(20), 0
    for _ in range(flips):
        damaged, at = tmp_path / "damaged.db", dice.randrange(len(content))
        damaged.write_bytes(content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :])
        known = dumped(damaged)
        found = await findings(damaged)
        assert found or known == good, f"byte {at}"
        changing += known != good
    assert changing > flips / 6


async def test_a_schema_that_is_no_text_is_damage(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CREATE TABLE points", b"CREATE TABLE p\xffints"))
    (found,) = await findings(path)
    assert "is damaged" in found


async def test_a_page_of_zeros_is_found_when_it_is_read(path):
    with closing(sqlite3.connect(path)) as connection:
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'annotations'")
        [(size,)] = connection.execute("PRAGMA page_size")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    malformed = f"the store {path} is damaged (database disk image is malformed)"
    assert (verify(f"sqlite:///{path}")).findings == [malformed]


async def test_an_index_without_a_row_is_found_by_the_database(path):
    name = "ix_fetches_last_updated"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        entry = connection.execute("SELECT * FROM sqlite_master WHERE name = ?", [name]).fetchone()
        connection.execute("DELETE FROM sqlite_master WHERE name = ?", [name])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE fetch_records SET last_updated = last_updated + 1 WHERE id = 1")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", entry)
    found = await findings(path)
    assert f"SQLite's own check: row 1 missing from index {name}" in found
    assert not any("***" in finding or finding.endswith(": ok") for finding in found)


async def test_a_word_that_has_become_a_number_is_damage_to_the_dump(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("""
            PRAGMA legacy_alter_table = ON;
            CREATE TABLE other (profile, due, outcome, finished_at, message, code, took);
            INSERT INTO other SELECT 3, due, outcome, finished_at, message, code, took FROM fire_records;
            DROP TABLE fire_records; ALTER TABLE other RENAME TO fire_records""")
    assert "is damaged" in dumped(path)


async def test_a_label_that_has_become_a_number_is_found(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("""
            PRAGMA legacy_alter_table = ON;
            CREATE TABLE other AS SELECT profile, 3 AS label, position, series_id, active FROM profile_series;
            DROP TABLE profile_series; ALTER TABLE other RENAME TO profile_series""")
    assert any("is not what its column may hold" in finding for finding in await findings(path))


@pytest.mark.parametrize(
    ("table", "column", "value", "where"),
    [
        ("points", "value", "'a text'", "series_id = 2 AND timestamp = 1777518000"),
        ("points", "value", "NULL", "series_id = 2 AND timestamp = 1777518000"),
        ("revisions", "value", "'a text'", "series_id = 2 AND fetch_id = 1"),
        ("answers", "checksum", "'a text'", "fetch_id = 1"),
        ("answers", "checksum", "NULL", "fetch_id = 1"),
    ],
)
async def test_a_number_that_has_become_a_text_or_nothing_is_found_and_stops_nothing(path, table, column, value, where):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(f"""
            PRAGMA legacy_alter_table = ON;
            CREATE TABLE other AS SELECT * FROM {table}; UPDATE other SET {column} = {value} WHERE {where};
            DROP TABLE {table}; ALTER TABLE other RENAME TO {table};
            UPDATE fires SET outcome = 'none' WHERE due = (SELECT min(due) FROM fires);
            UPDATE points SET value = value + 1 WHERE fetch_id = 5 AND series_id = 4""")
    found = await findings(path)
    fetches = [finding.split()[2] for finding in found if finding.startswith("what fetch")]
    assert fetches == ["1", "5"]
    async with Store.open(f"sqlite:///{path}", owner="test") as store:
        now = DAY + 100 * HOUR
        pruned = await store.prune(RetentionSettings({AggInterval.ONE_HOUR: 98 * HOUR}), now)
        assert len(pruned.damaged) == 1


@pytest.mark.parametrize("part", [0, 0.3, 0.5, 0.99])
async def test_a_file_that_was_cut_is_told_apart(path, part):
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(max(int(size * part), 50))
    (found,) = await findings(path)
    assert "was cut" in found or "of its header there are 50 bytes" in found


async def test_an_empty_a_missing_and_a_foreign_file_are_told_apart(tmp_path):
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("not a store, but a text that is long enough to be one" * 30)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t (x)")
    for name, kind, words in (
        ("empty", NotAStore, "is empty"),
        ("text", NotAStore, "is not a SQLite database"),
        ("other", NotAStore, "another program"),
        ("none", StoreMissing, "there is no store"),
    ):
        with pytest.raises(kind, match=words):
            verify(f"sqlite:///{tmp_path}/{name}.db")


@pytest.mark.parametrize(("at", "words"), [(3, "does not begin as"), (69, "the mark of a store")])
async def test_a_store_with_a_damaged_header_is_not_taken_for_foreign(path, at, words):
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=words):
        verify(f"sqlite:///{path}")


async def test_a_database_without_a_store_is_told(empty_postgres_url):
    with pytest.raises(SchemaTooOld, match="holds no store yet"):
        verify(empty_postgres_url)


MARK = APPLICATION_ID.to_bytes(4, "big")


def head(magic=b"SQLite format 3\0", mark=MARK, pages=2, counted=b"\0\0\0\1"):
    size = b"\x10\x00" + bytes(6) + b"\0\0\0\1" + pages.to_bytes(4, "big")
    return (magic + size).ljust(68, b"\0") + mark + bytes(20) + counted + bytes(4)


@pytest.mark.parametrize(
    ("expected", "first", "size", "has_wal"),
    [
        (None, head(), 8192, False),
        (None, head(), 12288, False),
        (None, head(), 4096, True),
        (None, head(counted=b"\0\0\0\2"), 4096, False),
        (None, b"", 0, False),
        (None, b"some text", 9, False),
        (None, head(mark=b"ABCD", magic=b"another programme"[:16]), 4096, False),
        ("it was cut, 4096 of 8192 bytes are there", head(), 4096, False),
        ("of its header there are 20 bytes", head()[:20], 20, False),
        ("its header does not begin as that of a SQLite database", head(magic=bytes(16)), 8192, False),
        ("the mark of a store in its header is not what it was", head(mark=MARK[:3] + b"U"), 8192, False),
    ],
)
def test_the_first_bytes_tell(expected, first, size, has_wal):
    assert sqlite_file.judge(first, size, has_wal=has_wal) == expected


@pytest.mark.parametrize("microsecond", [0, 1, 123_456, 999_999])
def test_a_moment_is_its_microseconds(microsecond):
    assert (
        microseconds(from_epoch(1_777_777_777).replace(microsecond=microsecond)) == 1_777_777_777_000_000 + microsecond
    )


def test_a_checksum_never_changes():
    assert checksum(CheckedRange(1, 2, 0, 7200, 0, 7_200_000_000), [0, 3600], [1.0, 2.0]) == 2_947_099_886


def test_a_checksum_is_of_the_range_the_timestamps_and_the_values():
    one = CheckedRange(1, 2, 0, 7200, 0, 7_200_000_000)
    known = {checksum(one, [0, 3600], [1.0, 2.0]), checksum(one, [0, 3600], [2.0, 1.0]), checksum(one, [0], [1.0])}
    known |= {checksum(one._replace(**{name: 9}), [0, 3600], [1.0, 2.0]) for name in CheckedRange._fields}
    known |= {checksum(one, [], []), checksum(one, [0, 3600], [1.0, 2.0 + 2**-51])}
    assert len(known) == 11
    assert all(0 <= each < 2**32 for each in known)


@pytest.mark.parametrize(
    ("expected", "start", "end"),
    [
        (([0, 1, 2], [5.0, 6.0, 7.0]), 0, 3),
        (([0, 1], [5.0, 6.0]), 0, 2),
        (([1, 2], [6.0, 7.0]), 1, 3),
        (([1], [6.0]), 1, 2),
        (([], []), 3, 9),
    ],
)
def test_what_is_written_is_what_is_inserted_and_revised(expected, start, end):
    difference = Difference(inserted={0: 5.0, 2: 7.0}, revised=[ReplacedValue(1, (4.0, 1), 6.0)])
    assert written(difference, start, end) == expected

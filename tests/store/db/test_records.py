"""How SQLite keeps requests and due moments: every value comes back, in few bytes, whoever wrote it."""

import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from collector.store import Fire, Store, StoreError
from collector.store.admin import commands
from collector.store.admin.copy import copy
from collector.store.admin.verify import verify
from collector.store.db import records
from collector.store.db.schema import fetches, fires
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, rows, saved

REQUESTS = [
    "1 x 15m over 2026-04-30T00:00:00Z..2026-04-30T00:15:00Z",
    "34 x 1h over 2026-04-30T00:00:00Z..2026-05-30T00:00:00Z in 3 windows",
    "1 x 15m over 1969-12-31T23:45:00Z..1970-01-01T00:00:00Z",
    "1 x 15m over 2026-02-30T00:00:00Z..2026-04-30T00:15:00Z",
    "1 x 15m over 2026-04-30T00:00:00Z..2026-04-30T24:00:00Z",
    "1 x 15m over 2026-04-30T00:00:00Z..2026-04-30T00:15:00.5Z",
    "1 x 15m over 2026-04-30 00:00:00Z..2026-04-30T00:15:00Z",
    "1 .. 15m over 2026-04-30T00:00:00Z..2026-04-30T00:15:00Z",
    "1 over 2 over 2026-04-30T00:00:00Z..2026-04-30T00:15:00Z",
    " over ..",
    "",
    "..",
    "replay of fetch 7",
    "GET /radar/ct/authorities?limit=100",
    "GET /a over 2026-04-30T00:00:00Z..2026-04-30T00:15:00Z",
    "%s ':x' é \N{SNOWMAN} over",
]
WORDS = ["RAW_VALUES", "certificates", "", " ", None, "15m", '["a"]']
EVERYTHING = sa.select(fetches).order_by(fetches.c.id)
ALL_FIRES = sa.select(fires).order_by(fires.c.profile, fires.c.due)


def request(chance):
    """A row of `fetches` of any kind."""
    moment = NOW + timedelta(microseconds=chance.randrange(10**12))
    ended = moment + timedelta(microseconds=chance.choice([0, 1, -1, chance.randrange(10**8)]))
    return {
        "started_at": moment,
        "finished_at": chance.choice([None, ended]),
        "outcome": chance.choice(["started", "ok", "failed", "rate_limited"]),
        "status": chance.choice([None, 200, 429, 2]),
        "code": chance.choice([None, 10000]),
        "message": chance.choice([None, "", "no"]),
        "request": chance.choice(REQUESTS),
        "profiles": chance.choice(['["all"]', '["a", "é"]', "[]", ""]),
        "positions": chance.randrange(3),
        "agg_interval": chance.choice(["15m", "1h", ""]),
        "last_updated": chance.choice([None, NOW, moment]),
        "normalization": chance.choice(WORDS),
        "unit": chance.choice(WORDS),
        "confidence_level": chance.choice([None, 0, 5]),
        "bytes": chance.choice([None, 0, 12_345]),
        **{name: chance.choice([None, 0, 7]) for name in ("inserted", "revised", "unchanged", "vanished", "ignored")},
        "replica_id": chance.choice([None, 0, 3]),
        "windows": chance.choice([None, "[]"]),
        "replay_of": chance.choice([None, 1]),
    }


def fire(chance, number):
    due = DAY + number * timedelta(minutes=15)
    ended = due + timedelta(microseconds=chance.choice([0, 1, -5, chance.randrange(10**13)]))
    outcome = chance.choice(["collected", "failed", "coalesced"])
    return Fire(chance.choice(["all", "é"]), due, outcome, ended, chance.choice([None, "", "late"]))


async def write(store, work):
    return await store._database.write(work)


async def read(store, select):
    return await store._database.read_in_thread(lambda connection: [tuple(row) for row in connection.execute(select)])


async def fill(store, seed, number):
    """Write *number* requests and due moments. Returns them as they were given."""
    chance = random.Random(seed)
    given, due = [request(chance) for _ in range(number)], [fire(chance, n) for n in range(number)]
    ids = await write(store, lambda connection: records.insert_fetches(connection, given))
    await store.finish(due, [])
    order = [column.name for column in fetches.c]
    requested = [tuple({"id": n, **row}[name] for name in order) for n, row in zip(ids, given, strict=True)]
    return requested, sorted((f.profile, f.due, f.outcome, f.finished_at, f.message) for f in due)


async def everything(store):
    return await read(store, EVERYTHING), sorted(await read(store, ALL_FIRES), key=lambda row: row[:2])


@pytest.mark.parametrize("seed", range(3))
async def test_every_value_comes_back_as_it_was_written(store_url, seed):
    async with Store.open(store_url, owner="test") as store:
        requested, due = await fill(store, seed, 300)
        assert [row[0] for row in requested] == list(range(1, 301))
        assert await everything(store) == (requested, due)
        chance = random.Random(seed + 100)
        changed = [request(chance) for _ in range(100)]
        update = sa.update(fetches).where(fetches.c.id == sa.bindparam("i"))
        named = [{"i": number, **row} for number, row in enumerate(changed, 101)]
        await write(store, lambda connection: connection.execute(update, named) and None)
        await write(store, lambda connection: connection.execute(sa.delete(fetches).where(fetches.c.id > 250)) and None)
        order = [column.name for column in fetches.c]
        expected = [
            tuple({"id": row[0], **changed[row[0] - 101]}[name] for name in order) if 100 < row[0] <= 200 else row
            for row in requested[:250]
        ]
        assert await everything(store) == (expected, due)
    assert commands.check(store_url) == []


async def test_a_fire_that_a_fast_clock_wrote_is_replaced(store_url):
    async with Store.open(store_url, owner="test") as store:
        await store.finish([Fire("all", DAY, "failed", NOW + 365 * 24 * HOUR, "x")], [])
        await store.finish([Fire("all", DAY, "collected", NOW)], [])
        assert await read(store, ALL_FIRES) == [("all", DAY, "collected", NOW, None)]
    assert verify(store_url).findings == []


async def test_texts_that_come_again_are_stored_once(tmp_path):
    url = f"sqlite:///{tmp_path}/collector.db"
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        for hour in range(5):
            now = NOW + hour * HOUR
            await saved(store, batch((query(), hours(hour, hour + 1))), [hour], now=now, updated=now)
        await store.finish([Fire("all", DAY + n * HOUR, "collected", NOW) for n in range(5)], [])
        kept = "SELECT DISTINCT request, profiles, normalization, unit, span, outcome, status FROM fetch_records"
        assert await rows(store, kept) == [("", "", None, None, 3600, "", 1)]
        assert await rows(store, "SELECT count(*) FROM fetch_texts") == [(4,)]
        assert await rows(store, "SELECT DISTINCT outcome, finished_at, code FROM fire_records") == [("", 0, 1)]


@pytest.mark.parametrize("seed", range(2))
async def test_a_store_of_before_says_the_same_before_while_and_after_it_is_rewritten(store_url, seed):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4])
        await fill(store, seed, 1_200)
        known = await everything(store)
    before = commands.digest(store_url)
    commands.downgrade(store_url, "0017")
    engine = sa.create_engine(store_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(EVERYTHING)] == known[0]
        assert sa.inspect(connection).has_table("fetches")
        assert not {"fetches", "fires"} & {*sa.inspect(connection).get_view_names()}
    engine.dispose()
    commands.upgrade(store_url)
    assert commands.check(store_url) == []
    assert commands.digest(store_url) == before
    async with Store.open(store_url, owner="test") as store:
        await fill(store, seed + 100, 10)
        known = await everything(store)
        steps = 0
        while step := await store.rewrite_records():
            assert step <= 500
            steps += 1
            assert await everything(store) == known
        assert steps == (6 if store_url.startswith("sqlite:") else 0)
        assert await rows(store, "SELECT * FROM state WHERE key = 'records_to_rewrite'") == []
        if store_url.startswith("sqlite:"):
            left = "SELECT count(*) FROM fetch_records WHERE profiles NOT IN ('', '[]') OR unit <> ''"
            assert await rows(store, left) == [(0,)]
            assert await rows(store, "SELECT count(*) FROM fire_records WHERE code IS NULL") == [(0,)]
    assert verify(store_url).findings == []


async def test_a_copy_of_a_store_that_is_not_rewritten_yet_is_complete(store_url, empty_postgres_url, tmp_path):
    async with Store.open(store_url, owner="test") as store:
        await fill(store, 0, 20)
        known = await everything(store)
    commands.downgrade(store_url, "0017")
    commands.upgrade(store_url)
    for target in (f"sqlite:///{tmp_path}/copy.db", empty_postgres_url):
        copy(store_url, target)
        async with Store.open(target, owner="test") as copied:
            assert await everything(copied) == known
            while await copied.rewrite_records():
                pass
            assert await everything(copied) == known
        assert verify(target).findings == []


async def test_a_text_that_is_not_there_is_found(tmp_path):
    url = f"sqlite:///{tmp_path}/collector.db"
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4])
    with closing(sqlite3.connect(tmp_path / "collector.db")) as connection:
        connection.execute("""DELETE FROM fetch_texts WHERE text = '["all"]'""")
        connection.commit()
    assert "fetches with a text that is not there: 1" in "\n".join(verify(url).findings)


@pytest.mark.parametrize(
    "statement",
    ["DROP TRIGGER update_request_of_fetches", "DROP VIEW fires", "ALTER TABLE fetch_records DROP COLUMN span"],
)
def test_drift_of_the_layout_is_named(tmp_path, statement):
    url = f"sqlite:///{tmp_path}/collector.db"
    commands.upgrade(url)
    with closing(sqlite3.connect(tmp_path / "collector.db")) as connection:
        if "span" in statement:
            connection.executescript("DROP VIEW fetches")
        connection.execute(statement)
        connection.commit()
    found = "\n".join(commands.check(url))
    assert statement.split()[-1] in found
    assert "missing" in found


async def test_a_request_keeps_its_id(tmp_path):
    async with Store.open(f"sqlite:///{tmp_path}/collector.db", owner="test") as store:
        await fill(store, 0, 3)
        with pytest.raises(StoreError, match="the id of a fetch does not change"):
            await write(store, lambda connection: connection.exec_driver_sql("UPDATE fetches SET id = 9 WHERE id = 1"))
        assert await rows(store, "SELECT id FROM fetches ORDER BY 1") == [(1,), (2,), (3,)]


async def test_texts_that_no_request_has_any_more_go_with_compaction(tmp_path):
    async with Store.open(f"sqlite:///{tmp_path}/collector.db", owner="test") as store:
        await fill(store, 0, 100)
        await write(store, lambda connection: connection.execute(sa.delete(fetches).where(fetches.c.id > 3)) and None)
        known = await everything(store)
        before = (await rows(store, "SELECT count(*) FROM fetch_texts"))[0][0]
        await store.compact()
        assert (await rows(store, "SELECT count(*) FROM fetch_texts"))[0][0] < before
        assert await everything(store) == known


def test_a_moment_has_the_microsecond_after_the_sum():
    """The sum that the view makes is the double that was written, for a hundred years."""
    chance = random.Random(0)
    with closing(sqlite3.connect(":memory:")) as connection:
        for _ in range(2_000):
            due = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=15 * chance.randrange(3_500_000))
            ended = due + timedelta(microseconds=chance.randrange(10**9))
            took = round((ended - due) / timedelta(microseconds=1))
            (shown,) = connection.execute("SELECT ? + ? / 1000000.0", (due.timestamp(), took)).fetchone()
            assert shown == ended.timestamp()

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from collector.analysis.marks import make_mark
from collector.errors import UsageError
from collector.model import Annotation
from collector.store import Fire, NotAStore, Store, StoreCorrupt, StoreError, StoreLocked, StoreMissing, ValueRejected
from collector.store.admin import copy as copying
from collector.store.admin.commands import digest
from collector.store.admin.copy import copy
from collector.store.admin.verify import verify
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, rows, saved

LATER = NOW + timedelta(minutes=15)


async def fill(url):
    """A store with something in every table."""
    remark = Annotation(DAY, None, "ALL", "OUTAGE", "a 'quoted' “text”", "", is_instantaneous=False, tags=("a", "b"))
    profiles = [profile(), profile("each", caOwner=("ü", "Z", "a"))]
    asked = batch((query(), hours(0, 4)), (query(caOwner="ü"), hours(0, 4)))
    async with Store.open(url, owner="test") as store:
        await store.activate_labels(profiles, NOW)
        await saved(store, asked, [1, 2, 3, 4], [5, 6, 0.1, 1e300], annotations=[remark])
        await saved(store, asked, {0: 1, 1: 7}, [5, 6, 7, 8], now=LATER, updated=LATER)
        await store.finish([Fire("all", DAY + hour * HOUR, "collected", NOW, None) for hour in range(9)], [])
        await store.add_mark(make_mark("2027-03-15", "a “mark”", "2027-03-16", "https://example.org"), NOW)
        await store.set_state("known", "fact")


def content(url):
    return Path(url.removeprefix("sqlite:///")).read_bytes()


@pytest.fixture(params=["sqlite to postgresql", "postgresql to sqlite", "sqlite to sqlite"])
async def both(request, tmp_path):
    """The addresses of a store with something in it and of nothing."""
    source, target = request.param.split(" to ")
    url = request.getfixturevalue("postgres_url" if source == "postgresql" else "sqlite_url")
    await fill(url)
    return url, (
        request.getfixturevalue("empty_postgres_url") if target == "postgresql" else f"sqlite:///{tmp_path}/copy/c.db"
    )


@pytest.fixture
async def files(sqlite_url, tmp_path):
    await fill(sqlite_url)
    return sqlite_url, f"sqlite:///{tmp_path}/copy.db"


async def test_it_works(both):
    source, target = both
    copied = copy(source, target)
    assert copied.digest == digest(source) == digest(target)
    verified = verify(target)
    assert (verified.points, verified.series, verified.findings) == (8, 4, [])
    async with Store.open(source, owner=None) as one, Store.open(target, owner=None) as other:
        for table in ("series", "profile_series", "annotations", "withdrawals", "fetches", "fetch_profiles"):
            everything = f"SELECT * FROM {table} ORDER BY 1, 2"
            assert len(await rows(one, everything)) == len(await rows(other, everything)), table
        assert await one.list_revisions() == await other.list_revisions()
        assert await one.list_fetches() == await other.list_fetches()
        assert await one.list_series() == await other.list_series()
        assert await one.list_annotations() == await other.list_annotations()
        assert await one.list_marks() == await other.list_marks() != []
        assert await other.get_state("known") == "fact"


async def test_the_copy_goes_on_where_the_store_was(both):
    source, target = both
    copy(source, target)
    for url in both:
        async with Store.open(url, owner="test") as store:
            await store.activate_labels([profile(), profile("new", tld=("com",))], LATER)
            asked = batch((query(tld="com"), hours(0, 4)))
            assert (await saved(store, asked, [1, 2, 3, 4], now=LATER)).inserted == 4
    assert digest(source) == digest(target)


async def test_an_interrupted_copy_is_no_store_and_goes_on_behind_what_is_there(both, monkeypatch):
    source, target = both
    monkeypatch.setattr(copying, "_ROWS_AT_ONCE", 3)
    heard = []

    def stop(table, done, total):
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, stop)
    with pytest.raises(NotAStore, match="repeat `collector db copy`"):
        async with Store.open(target, owner="run"):
            pass
    with pytest.raises(NotAStore, match="repeat `collector db copy`"):
        async with Store.open(target, owner=None):
            pass
    copy(source, target, lambda *step: heard.append(step))
    assert heard[0] == ("points", 6, 8)
    assert digest(source) == digest(target)


async def test_a_copy_of_what_has_changed_since_begins_anew(files, monkeypatch):
    source, target = files
    monkeypatch.setattr(copying, "_close", None)
    with pytest.raises(TypeError):
        copy(source, target)
    monkeypatch.undo()
    async with Store.open(source, owner="test") as store:
        await saved(store, batch((query(), hours(0, 4))), [9, 9, 9, 9], now=LATER + HOUR, updated=LATER + HOUR)
    heard = []
    copy(source, target, lambda *step: heard.append(step))
    assert heard[0] == ("points", 0, 8)
    assert digest(source) == digest(target)


async def test_beside_a_running_collector_one_moment_is_copied(files, monkeypatch):
    source, target = files
    before = digest(source)
    async with Store.open(source, owner="run") as store:
        real, loop = copying._fill, asyncio.get_running_loop()

        def fill_and_go_on(*arguments):
            later = saved(store, batch((query(), hours(0, 4))), [9, 9, 9, 9], now=LATER + HOUR, updated=LATER + HOUR)
            asyncio.run_coroutine_threadsafe(later, loop).result(60)
            return real(*arguments)

        monkeypatch.setattr(copying, "_fill", fill_and_go_on)
        assert (await asyncio.to_thread(copy, source, target)).digest == before
    assert digest(target) == before != digest(source)


async def test_the_source_is_not_touched(files):
    source, target = files
    before = content(source)
    copy(source, target)
    assert content(source) == before


async def test_a_copy_that_says_something_else_is_not_a_store(files, monkeypatch):
    source, target = files
    real = copying._add

    def lossy(connection, table, rows):
        real(connection, table, rows[:-1] if table.name == "fires" else rows)

    monkeypatch.setattr(copying, "_add", lossy)
    with pytest.raises(StoreCorrupt, match="does not say what the store says"):
        copy(source, target)
    with pytest.raises(NotAStore):
        async with Store.open(target, owner="run"):
            pass


async def test_what_holds_something_is_not_written_to(files, sqlite_template, tmp_path):
    source, target = files
    copy(source, target)
    before = digest(target)
    with pytest.raises(ValueRejected, match="a store with something in it: copy into an empty database, or a new file"):
        copy(source, target)
    assert digest(target) == before


async def test_a_copy_of_another_store_is_not_written_to(files, tmp_path, monkeypatch):
    source, target = files
    monkeypatch.setattr(copying, "_close", None)
    with pytest.raises(TypeError):
        copy(source, target)
    monkeypatch.undo()
    other = f"sqlite:///{tmp_path}/other.db"
    await fill(other)
    with pytest.raises(ValueRejected, match=r"an unfinished copy of .*collector\.db"):
        copy(other, target)


async def test_an_empty_store_may_be_the_target(files, tmp_path):
    source, target = files
    async with Store.open(target, owner="db upgrade") as store:
        await store.check_writable()
    assert (copy(source, target)).digest == digest(source)


async def test_a_target_in_use_is_not_written_to(files):
    source, target = files
    async with Store.open(target, owner="run"):
        with pytest.raises(StoreLocked, match="collector run"):
            copy(source, target)


@pytest.mark.parametrize("spelled", ["collector.db", "./collector.db", "link.db"])
async def test_a_store_is_not_copied_onto_itself(sqlite_url, tmp_path, spelled):
    (tmp_path / "link.db").symlink_to(tmp_path / "collector.db")
    with pytest.raises(UsageError, match="is the store itself"):
        copy(sqlite_url, f"sqlite:///{tmp_path}/{spelled}")


async def test_a_link_to_a_new_file_is_followed(sqlite_url, tmp_path):
    (tmp_path / "new").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to("new/copy.db")
    copied = copy(sqlite_url, f"sqlite:///{link}")
    assert (link.is_symlink(), (tmp_path / "new" / "copy.db").is_file()) == (True, True)
    assert digest(f"sqlite:///{link}") == copied.digest


async def test_a_database_of_another_program_is_not_written_to(sqlite_url, tmp_path):
    path = tmp_path / "foreign.db"
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    before = content(str(path))
    with pytest.raises(NotAStore):
        copy(sqlite_url, f"sqlite:///{path}")
    assert content(str(path)) == before


async def test_nothing_is_created_where_there_is_nothing_to_copy(tmp_path):
    with pytest.raises(StoreMissing):
        copy(f"sqlite:///{tmp_path}/none.db", f"sqlite:///{tmp_path}/copy.db")
    assert not (tmp_path / "copy.db").exists()
    assert issubclass(StoreMissing, StoreError)

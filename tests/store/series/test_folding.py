"""Folded coverage: a store in which it is folded says what one says in which it is not."""

import asyncio
import random
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from collector.interval import AggInterval
from collector.model import Annotation, GroupedPoints, Points
from collector.settings import RetentionSettings
from collector.store import Store
from collector.store.admin import commands
from collector.store.admin.verify import verify
from collector.store.read.selection import PointQuery
from collector.store.series import folding, folds
from collector.store.series.folds import FoldedAnswer, pack, unpack
from collector.windows import SeriesWindow
from tests.harness import groups
from tests.harness.factories import DAY, HOUR, answer, at, batch, dump, hours, profile, query, rows, start_fetch, values

QUERIES = [query(caOwner=name) for name in "ABC"]
PROFILE = profile("all", caOwner=tuple("ABC"))
FIRES = 32
LATER = DAY + timedelta(days=20)
REMARK = Annotation(DAY + 3 * HOUR, None, "CT", "OUTAGE", description="", linked_url="", is_instantaneous=False)


@pytest.fixture
def _short_periods(monkeypatch):
    monkeypatch.setattr(folding, "_BUCKETS", 12)
    monkeypatch.setattr(folding, "_FEWEST", 3)


async def live(store, chance):
    """Collect for some days, with holes, revisions, values that vanish, late answers, and other levels."""
    await store.activate_labels([PROFILE], DAY)
    stored = {}
    for fire in range(FIRES):
        now = DAY + (fire + 1) * HOUR + chance.random() * HOUR / 2
        windows = [(fire, fire + 1)] if chance.random() < 0.95 else []
        if fire and chance.random() < 0.2:
            start = max(0, fire - chance.randint(1, 8))
            windows.append((start, min(fire, start + chance.randint(2, 6))))
        for start, end in windows:
            asked = QUERIES if chance.random() < 0.9 else chance.sample(QUERIES, 2)
            by_series = []
            for each in asked:
                for hour in range(start, end):
                    if (each, hour) not in stored or chance.random() < 0.15:
                        stored[each, hour] = chance.randrange(5)
                hours_there = (hour for hour in range(start, end) if chance.random() < 0.9)
                by_series.append({hour: stored[each, hour] for hour in hours_there})
            updated = now - chance.choice((0, 0, 0, 0, 5)) * HOUR - timedelta(minutes=5)
            level = chance.choice((5, 5, 5, 3, None))
            remarks = [REMARK] if chance.random() < 0.7 else []
            windows_of = batch(*((each, hours(start, end)) for each in asked))
            await save(store, windows_of, by_series, (now, updated), annotations=remarks, level=level)


async def save(store, asked, by_series, times, level=5, **meta):
    now, updated = times
    fetch_id = await start_fetch(store, asked, now - timedelta(seconds=20))
    brought = answer(asked, *by_series, updated=updated, **meta)
    brought = brought._replace(meta=brought.meta._replace(confidence_level=level))
    await store.save(fetch_id, asked, brought, now, 100)


async def moments_of(store, chance):
    """Return moments at which knowledge changed, to the microsecond, and some between; None is now."""
    came = [row.finished_at for row in await store.list_fetches()]
    some = chance.sample(came, 5)
    tick = timedelta(microseconds=1)
    return [
        None,
        DAY,
        LATER,
        *some,
        *(moment - tick for moment in some[:2]),
        *(moment + 7 * HOUR for moment in some[:2]),
    ]


async def known(store, moments, names="ABC"):
    """Return what a store says, now and as it was at some moments before."""
    ids = dict(await rows(store, "SELECT label, id FROM series"))
    ids = [ids[f"all/{name}"] for name in names]
    said = []
    for moment in moments:

        def read(reader):
            spans = [(at(start), at(end)) for start, end in ((0, 6), (5, 7), (11, 25), (0, 60), (31, 32))]
            windows = [[SeriesWindow(each, *span) for each in which] for span in spans for which in (ids[:1], ids)]
            levels = [(reader.is_answered(each), reader.confidence_level(each)) for each in windows]
            published = reader.published(ids, LATER.timestamp())
            remarks = reader.annotations("ct", [spans[0]])
            points = [[*map(tuple, block)] for i in ids for block in reader.points(SeriesWindow(i, *spans[3]))]
            return levels, reader.extents(ids), reader.last_updated(ids), published, remarks, points

        said.append((moment, await store.read_as_of(read, moment)))
        said.append(await values(store, "all/C", as_of=moment))
        said.append(await sums(store, moment))
    for each in [question for question in QUERIES if question.filters["caOwner"][0] in names]:
        covered = await store.covered_windows(each, hours(2, 30), DAY + 10 * HOUR)
        said.append((covered, await store.last_covered_at([each], DAY + 9 * HOUR)))
    return said


async def sums(store, moment):
    """Return the sums of hours, of six hours, and of days, as they were known at a moment."""

    def read(view):
        selection = view.select_series(PointQuery(as_of=moment))
        edges = [[at(hour) for hour in range(0, 73, width)] for width in (1, 6, 24)]
        return [view.period_sums(selection, selection.series, each, (each[0], each[-1])) for each in edges]

    return await store.with_read_view(read)


async def folded(store, now=LATER):
    """Fold all that is final. Returns the number of answers."""
    count = 0
    while (step := await store.fold_coverage(now)) is not None:
        count += step
    return count


async def late(store):
    """Change values whose coverage is folded."""
    asked = batch(*((each, hours(4, 8)) for each in QUERIES))
    await save(store, asked, [[7, 8, 9, 7]] * 3, (LATER + HOUR, LATER + HOUR))


async def points_go(store):
    keep = RetentionSettings({AggInterval.ONE_HOUR: LATER - DAY - 9 * HOUR}, revisions=LATER - DAY - 20 * HOUR)
    await store.prune(keep, LATER)


async def series_goes(store):
    rest = profile("all", caOwner=("B", "C"))
    await store.activate_labels([rest], LATER)
    (gone,) = (await rows(store, "SELECT id FROM series WHERE label = 'all/A'"))[0]
    await store.delete_series(gone, [rest], dry_run=False)


@pytest.mark.usefixtures("_short_periods")
async def test_folded_coverage_says_the_same_at_every_moment(store_url, tmp_path, seed):
    plain_url = f"sqlite:///{tmp_path}/plain.db"
    commands.upgrade(plain_url)
    async with Store.open(store_url, owner="test") as store, Store.open(plain_url, owner="test") as plain:
        for each in (store, plain):
            await live(each, random.Random(seed))
        moments = await moments_of(plain, random.Random(seed))
        expected = await known(plain, moments)
        assert await known(store, moments) == expected
        assert await folded(store) > FIRES / 2
        assert await known(store, moments) == expected
        assert dump(store_url) == dump(plain_url)
        fetches = (await store.prune(RetentionSettings(fetches=timedelta(days=10)), LATER)).fetches
        assert fetches > FIRES / 2
        assert await known(store, moments) == expected
        assert dump(store_url) == dump(plain_url)
        assert verify(store_url).findings == []
        for change, names in ((late, "ABC"), (points_go, "ABC"), (series_goes, "BC")):
            for each in (store, plain):
                await change(each)
            assert await known(store, [*moments, LATER + 2 * HOUR], names) == await known(
                plain, [*moments, LATER + 2 * HOUR], names
            ), change
            assert verify(store_url).findings == [], change
        assert dump(store_url) == dump(plain_url)


@pytest.mark.usefixtures("_short_periods")
async def test_where_a_group_was_unknown_reads_the_same_after_folding(store_url):
    first = DAY + 4 * HOUR
    lists = [
        (first, {"left": {0: 5, 1: 5, 2: 5}, "A": groups.each(0), "B": groups.each(3)}),
        *(
            (first + number * HOUR, {"left": {0: 5, 1: 5}, "A": groups.each(0), "B": groups.each(2)})
            for number in (1, 2)
        ),
        (first + 3 * HOUR, {"A": groups.each(0), "B": groups.each(0)}),
    ]
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([groups.OWNERS], DAY)
        for now, listed in lists:
            await groups.save(store, now, **listed)
        asked = batch((groups.QUESTION, hours(40, 44)))
        newest = GroupedPoints([at(40)], [1], {"A": Points([at(40)], [1])})
        later = answer(asked, [], updated=LATER)._replace(series=(newest,))
        await store.save(await start_fetch(store, asked, LATER), asked, later, LATER, 100)
        much_later = LATER + timedelta(days=20)
        moments = [now + HOUR / 2 for now, _ in lists]
        before = [await unknown(store, moment) for moment in moments]
        assert [sum(end - start for start, end, _ in each) // 3600 for each in before] == [3, 2, 2, 0]
        assert await folded(store, much_later) > 2
        assert (await store.prune(RetentionSettings(fetches=timedelta(days=10)), much_later)).fetches > 2
        assert [await unknown(store, moment) for moment in moments] == before


async def unknown(store, moment):
    """Return where group B was unknown at a moment."""

    def read(view):
        selection = view.select_series(PointQuery(series=("owners/B",), as_of=moment))
        (group,) = selection.series
        return [tuple(window) for window in view.unknown_windows(selection, group, None, None)]

    return await store.with_read_view(read)


async def filled(url):
    async with Store.open(url, owner="test") as store:
        await live(store, random.Random(4))
        keep = RetentionSettings(fetches=timedelta(days=10))
        await store.prune(keep, LATER)
        await folded(store)
        deleted = await store.prune(keep, LATER)
        assert deleted.fetches > FIRES / 2  # although they were considered before
        assert await rows(store, "SELECT count(*) FROM fetches") < [(FIRES / 2,)]


def findings_after(path, statement, *parameters):
    """Verify a store after a change, which is undone."""
    whole = path.read_bytes()
    with closing(sqlite3.connect(path)) as file:
        file.execute(statement, parameters)
        file.commit()
    result = verify(f"sqlite:///{path}").findings
    path.write_bytes(whole)
    return result


@pytest.mark.usefixtures("_short_periods")
def test_every_change_of_folded_coverage_is_found(sqlite_url):
    asyncio.run(filled(sqlite_url))
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    assert findings_after(path, "SELECT 1") == []
    first = "(SELECT min(timestamp) FROM points)"
    for statement in (
        "UPDATE folded_answers SET checksum = checksum + 1",
        'UPDATE folded_answers SET "end" = "end" + 3600',
        "UPDATE folded_answers SET set_id = 99",
        "DELETE FROM folded_answers",
        f"UPDATE points SET value = value + 1 WHERE timestamp = {first}",
        f"UPDATE points SET fetch_id = fetch_id + 1 WHERE timestamp = {first}",
    ):
        assert findings_after(path, statement), statement
    with closing(sqlite3.connect(path)) as file:
        (content,) = file.execute("SELECT content FROM folded_answers WHERE id = 1").fetchone()
    for place in random.Random(5).sample(range(len(content)), 8):
        changed = content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
        assert findings_after(path, "UPDATE folded_answers SET content = ? WHERE id = 1", changed), place


def test_packed_answers_are_read_as_they_were():
    chance = random.Random(6)
    answers = [
        FoldedAnswer(
            number,
            start := chance.randrange(2**31),
            start + chance.randrange(1, 10**6),
            chance.choice((None, chance.randrange(2**51))),
            chance.choice((None, 0)),
            chance.random() < 0.5,
            chance.randrange(2**51),
            chance.randrange(2**51),
            chance.choice((None, 5)),
        )
        for number in range(chance.randrange(50), 90)
    ]
    assert unpack(pack(answers)) == tuple(answers)
    with pytest.raises(ValueError, match="wrong length"):
        unpack(pack(answers)[:-2])
    assert folds.from_micros(1_700_000_000_000_001).microsecond == 1

"""A store of the previous version, of schema revision 0006, and replicas of it that go on beside this version.

It is imitated: what it writes is what this version writes, without all that came with revision 0007.
"""

import random
from array import array

import psycopg
import pytest
import sqlalchemy as sa

from collector.collect.refetch import plan_fire
from collector.model import Annotation, Meta, Points
from collector.report.gaps import find_gaps
from collector.rules.finality import final_windows
from collector.store import SchemaTooOld, Store, Taken
from collector.store.admin import commands
from collector.store.admin.verify import verify
from collector.store.db.schema import metadata
from collector.store.db.views import VIEWS
from collector.store.series.proposals import row_of
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    STEP,
    at,
    batch,
    filtered,
    hours,
    profile,
    query,
    rows,
    saved,
    values,
)
from tests.poison.life import SHORT, START, _differs, living, profiles_of

BEFORE = "0006"
SETTLE = 14 * 24
FIRST, LAST = -20 * 24, 35
"""A series reaches from one to the other, in hours from DAY on; the last of them ends half an hour before TOLD."""
TOLD = NOW - HOUR / 2


async def execute(store, *statements):
    def work(connection):
        for statement in statements:
            connection.exec_driver_sql(statement)

    await store._database.write(work)


async def previous(store, work):
    """Let a process of the previous version do *work*: nothing stays of it that it does not know."""
    before = {name: await rows(store, f"SELECT * FROM {name}") for name in ("finality", "absences")}
    (newest,) = (await rows(store, "SELECT coalesce(max(id), 0) FROM fetches"))[0]
    known = [series_id for (series_id,) in await rows(store, "SELECT id FROM series WHERE in_force_at IS NOT NULL")]
    done = await work

    def undo(connection):
        for name, kept in before.items():
            table = metadata.tables[name]
            columns = [column.name for column in table.c]
            connection.execute(sa.delete(table))
            marks = ", ".join(f":p{number}" for number in range(len(columns)))
            names = ", ".join(f'"{column}"' for column in columns)
            insert = sa.text(f"INSERT INTO {name} ({names}) VALUES ({marks})")
            for row in kept:
                connection.execute(insert, {f"p{number}": value for number, value in enumerate(row)})
        later = metadata.tables["fetches"]
        connection.execute(sa.update(later).where(later.c.id > newest).values(ignored=None, windows=None))
        series = metadata.tables["series"]
        unknown = sa.update(series).where(series.c.id.not_in(known))
        connection.execute(unknown.values(in_force_at=None, proposed_at=None))

    await store._database.write(undo)
    return done


async def state_of(store, one=None):
    return (await store.series_states([one or query()]))[one or query()]


def numbers(start, end):
    return {hour: float(hour % 97 + 100) for hour in range(start, end)}


async def fill(url, *more, revision=BEFORE):
    """Fill the store with 20 days of one series, asked for in one request, and make it one of before."""
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(FIRST, LAST))), numbers(FIRST, LAST), updated=TOLD)
        for work in more:
            await work(store)
    commands.downgrade(url, revision)


@pytest.mark.parametrize("revision", [BEFORE, "0007", "0008", "0009"])
async def test_the_statements_of_the_previous_version_are_taken(store_url, revision):
    """What it has written can be written once more, in the columns that it knows, and read by the views."""

    async def revised(store):
        await saved(store, batch((query(), hours(0, 6))), {0: 1, 1: 7, 2: 3}, now=NOW + HOUR, updated=NOW + HOUR)

    await fill(store_url, revised, revision=revision)
    engine = sa.create_engine(store_url.replace("postgresql:", "postgresql+psycopg:"))
    before = sa.MetaData()
    before.reflect(engine, views=True, only=lambda name, _: name in {*metadata.tables, *VIEWS})
    names = [name for name in before.tables if name not in VIEWS]
    with engine.connect() as connection:
        written = {name: connection.execute(sa.select(before.tables[name])).all() for name in before.tables}
    commands.upgrade(store_url)
    with engine.begin() as connection:
        for name in names:
            connection.execute(sa.delete(before.tables[name]))
        for name in names:
            for row in written[name]:
                connection.execute(sa.insert(before.tables[name]).values(dict(row._mapping)))
        again = {name: connection.execute(sa.select(before.tables[name])).all() for name in before.tables}
    engine.dispose()
    assert {name: sorted(map(repr, found)) for name, found in again.items()} == {
        name: sorted(map(repr, found)) for name, found in written.items()
    }
    assert all(written[name] for name in ("series", "points", "revisions", "vanished", "date_ranges", *VIEWS))
    assert (verify(store_url)).findings == []


async def test_rights_on_the_view_stay_in_both_directions(postgres_url):
    role = f"reader_of_{sa.make_url(postgres_url).database}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        connection.execute(f"GRANT SELECT ON history TO {role}")
    commands.downgrade(postgres_url, BEFORE)
    commands.upgrade(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        assert connection.execute(f"SELECT has_table_privilege('{role}', 'history', 'SELECT')").fetchone() == (True,)
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


async def test_a_role_that_may_write_coverage_still_may_after_an_upgrade(postgres_url):
    role = f"writer_of_{sa.make_url(postgres_url).database}"
    commands.downgrade(postgres_url, "0010")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        connection.execute(f"GRANT SELECT, INSERT, DELETE ON date_ranges TO {role}")
    commands.upgrade(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"SET ROLE {role}")
        connection.execute("INSERT INTO series_sets (digest) VALUES ('a')")
        connection.execute("DELETE FROM series_sets")
        connection.execute("SELECT count(*) FROM date_ranges")
        connection.execute("RESET ROLE")
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("revision", ["0008", "0009"])
async def test_an_upgrade_from_the_last_revisions_changes_nothing_that_is_read(store_url, revision):
    await fill(store_url, revision=revision)
    with pytest.raises(SchemaTooOld):
        commands.check(store_url)
    commands.upgrade(store_url)
    assert commands.check(store_url) == []
    assert verify(store_url).findings == []
    async with Store.open(store_url, owner="test") as store:
        assert await values(store) == numbers(FIRST, LAST)


async def test_an_upgrade_changes_no_point_and_takes_old_values_as_final_but_unconfirmed(store_url):
    await fill(store_url)
    commands.upgrade(store_url)
    assert commands.check(store_url) == []
    assert (verify(store_url)).findings == []
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        assert await values(store) == numbers(FIRST, LAST)
        state = await state_of(store)
        final = final_windows(state.evidence, SETTLE * STEP, STEP)
        assert final == [(at(FIRST), at(LAST - SETTLE))]
        assert final_windows(state.evidence, SETTLE * STEP, STEP, confirmed=True) == []
        assert await store.unconfirmed([profile()]) == {"all": LAST - SETTLE - FIRST}
        (slice_,), _ = await plan_fire([profile()], NOW + HOUR, store)
        assert slice_.window.start == DAY, "young values count as read at the newest lastUpdated"
        (slice_,), _ = await plan_fire([profile()], NOW + 25 * HOUR, store)
        assert slice_.window.start <= DAY + (LAST - SETTLE) * HOUR


async def test_values_of_a_store_without_an_answer_on_record_are_read_again(store_url):
    """Retention of fetches may have deleted what told how old the values are."""

    async def pruned(store):
        await execute(store, "UPDATE fetches SET outcome = 'failed'")

    await fill(store_url, pruned)
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        assert (await state_of(store)).evidence == []
        windows = [slice_.window for slice_ in (await plan_fire([profile()], NOW, store)).slices]
        assert min(window.start for window in windows) == DAY + FIRST * HOUR


async def test_gaps_are_judged_anew_after_an_upgrade(store_url):
    """Two days of hours that answers lacked, which the previous version calls `upstream`, count as missing."""

    window, ends = hours(FIRST - 96, FIRST), {FIRST - 96: 5, FIRST - 1: 6}

    async def lacked(store):
        await saved(store, batch((query(), window)), ends, updated=TOLD)

    await fill(store_url, lacked)
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        assert await gaps(store, NOW) == [(FIRST - 95, FIRST - 1, "missing")]
        later = NOW + 72 * HOUR
        await saved(store, batch((query(), window)), ends, now=later, updated=later)
        assert await gaps(store, later) == [(FIRST - 95, FIRST - 1, "missing")]
        parts = [hours(first, min(first + 24, FIRST - 1)) for first in range(FIRST - 95, FIRST - 1, 24)]
        latest = later + 72 * HOUR
        await saved(store, batch(*((query(), part) for part in parts)), *[{}] * 4, now=latest, updated=latest)
        assert await gaps(store, latest) == [(FIRST - 95, FIRST - 1, "upstream")]


async def gaps(store, now):
    found = [gap for gap in await find_gaps(store, [profile()], now) if gap.start < DAY + FIRST * HOUR]
    return [((gap.start - DAY) // HOUR, (gap.end - DAY) // HOUR, gap.reason) for gap in found]


async def test_points_that_a_previous_version_adds_are_read_again(store_url):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(FIRST, FIRST + 48))), numbers(FIRST, FIRST + 48), updated=TOLD)
        asked = batch((query(), hours(FIRST - 48, FIRST)))
        await previous(store, saved(store, asked, numbers(FIRST - 48, FIRST), updated=TOLD))
        assert (await state_of(store)).extent[0] == at(FIRST - 48)
        windows = [slice_.window for slice_ in (await plan_fire([profile()], NOW + HOUR, store)).slices]
        assert any(one.start <= DAY + (FIRST - 48) * HOUR and one.end >= DAY + FIRST * HOUR for one in windows)
        now = NOW + HOUR
        await saved(store, asked, numbers(FIRST - 48, FIRST), now=now, updated=now)
        windows = [slice_.window for slice_ in (await plan_fire([profile()], NOW + 2 * HOUR, store)).slices]
        assert not any(one.overlaps(asked.slices[0].window) for one in windows)
    assert (verify(store_url)).findings == []


async def test_a_final_value_that_a_previous_version_changes_is_read_again(store_url):
    """One wrong answer to it does no lasting harm: it changes a value, fills a gap that is none, and lacks a bucket."""
    asked = batch((query(), hours(FIRST, FIRST + 48)))
    right = numbers(FIRST, FIRST + 24) | numbers(FIRST + 25, FIRST + 48)
    wrong = {hour: 1.0 if hour == FIRST + 5 else value for hour, value in right.items() if hour != FIRST + 9}

    async def due(store, now):
        windows = [slice_.window for slice_ in (await plan_fire([profile()], now, store)).slices]
        return [one for one in windows if one.overlaps(asked.slices[0].window)]

    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        for n in range(2):
            await saved(store, asked, right, now=NOW + n * HOUR, updated=TOLD + n * HOUR)
        newer = batch((query(), hours(FIRST + 48, LAST)))
        await saved(store, newer, numbers(FIRST + 48, LAST), updated=TOLD)
        assert await due(store, NOW + HOUR) == []
        now = NOW + 2 * HOUR
        spoilt = wrong | {FIRST + 24: 9.0}
        await previous(store, saved(store, asked, spoilt, now=now, updated=TOLD + HOUR))
        assert (await values(store))[FIRST + 5] == 1
        reread = await due(store, now + HOUR)
        assert min(one.start for one in reread) == DAY + FIRST * HOUR
        assert max(one.end for one in reread) == DAY + (FIRST + 48) * HOUR
        later = now + 2 * HOUR
        await saved(store, asked, right | {FIRST + 24: 9.0}, now=later, updated=later)
        assert (await values(store))[FIRST + 5] == right[FIRST + 5]
        assert await due(store, later + HOUR), "it changed past settle, so that it is checked once more"
    assert (verify(store_url)).findings == []


async def test_a_series_that_a_previous_version_has_begun_is_in_force(store_url):
    async with Store.open(store_url, owner="test") as store:
        await previous(store, store.activate_labels([profile()], NOW))
        await previous(store, saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4]))
        assert await rows(store, "SELECT in_force_at FROM series") == [(None,)]
        assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
        assert await rows(store, "SELECT count(*) FROM history") == [(4,)]
        now = NOW + HOUR
        await saved(store, batch((query(), hours(0, 5))), [1, 2, 3, 4, 5], now=now, updated=now)
        assert await rows(store, "SELECT points, in_force_at IS NULL FROM series") in ([(5, False)], [(5, 0)])
        assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: 5.0}


async def test_a_unit_to_which_a_previous_version_moves_the_labels_hides_no_history(store_url):
    """It moves them at once, and leaves empty when that was."""
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4])
        asked, now = batch((query(), hours(2, 6))), NOW + HOUR
        await previous(store, moved(store, asked, now))
        everything = {0: 1.0, 1: 2.0, 2: 30.0, 3: 40.0, 4: 50.0, 5: 60.0}
        assert await values(store) == everything
        later = NOW + 2 * HOUR
        await saved(store, asked, [30, 40, 50, 60], now=later, updated=later, unit="entries")
        assert await values(store) == everything
        assert len(await rows(store, "SELECT * FROM history")) == 6
        assert await rows(store, "SELECT id FROM series WHERE in_force_at IS NULL") == []
        assert await values(store, as_of=NOW + HOUR / 2) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    assert (verify(store_url)).findings == []


async def moved(store, asked, now):
    await saved(store, asked, [30, 40, 50, 60], now=now, updated=now, unit="entries")
    label = "UPDATE profile_series SET series_id = (SELECT max(id) FROM series)"
    await execute(store, label)


async def test_the_first_snapshot_deletes_history_in_every_unit(store_url):
    """The previous version kept such a series as history, and began another one with each spelling of its unit."""
    one, valid = query(expirationStatus="VALID"), filtered("valid", expirationStatus="VALID")
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([valid], NOW)
        (asked,) = batch((one, hours(0, 4))).slices
        for number, unit in enumerate(["certificates", "Certificates", "entries"]):
            made = row_of(one, "valid", ("RAW_VALUES", unit), NOW + number * HOUR)
            await insert(store, "series", made | {"points": 4, "in_force_at": made["created_at"]})
            (series_id,) = (await rows(store, "SELECT max(id) FROM series"))[0]
            await execute(store, f"UPDATE profile_series SET series_id = {series_id}")
            for hour in range(4):
                point = {"series_id": series_id, "timestamp": DAY + hour * HOUR, "value": 7.0, "fetch_id": number}
                await insert(store, "points", point)
        await execute(store, "DELETE FROM series WHERE normalization = ''")
        now = NOW + 24 * HOUR
        meta = Meta(one.agg_interval, now, "RAW_VALUES", "entries", 5, (), ())
        points = Points(array("q", [int(at(0)), int(at(1))]), array("d", [2.0, 1.0]))
        await store.save_snapshots([Taken(one, now, asked.window, meta, now, points, {})], now)
        assert await rows(store, "SELECT unit, value FROM history ORDER BY timestamp") == [
            ("entries", 2),
            ("entries", 1),
        ]
        assert await rows(store, "SELECT points FROM series ORDER BY id") == [(0,), (0,), (2,)]
    assert (verify(store_url)).findings == []


async def insert(store, name, values):
    def work(connection):
        connection.execute(sa.insert(metadata.tables[name]).values(values))

    await store._database.write(work)


async def test_a_store_in_which_the_last_revision_was_missed_is_mended_within_a_day(store_url, seed):
    """The previous version reads no value again once it is past settle, and calls the profile fresh."""
    dice = random.Random(seed)
    early, _ = profiles_of(SHORT, "15m", dice)
    async with living(store_url, SHORT, None) as life:
        await life.activate_labels(early)
        while life.clock() < START + 5 * 24 * HOUR:
            due = life.clock()
            await life.work()
            life.clock.now = max(life.clock(), due + SHORT.every)
        border = int((life.clock() - SHORT.settle - 6 * HOUR).timestamp())
        clock = life.clock
    wrong = f"{'timestamp' if store_url.startswith('sqlite') else 'extract(epoch from timestamp)'} < {border}"
    commands.downgrade(store_url, BEFORE)
    async with living(store_url, SHORT, None) as life:
        life.clock.now = clock.now
        await execute(life.store, f"UPDATE points SET value = value - 3 WHERE {wrong}")
        await life.activate_labels(early)
        assert await _differs(life, early[0], early[0].series[0])
        for turn in range(3):
            life.clock.now += min(turn, 1) * SHORT.every
            await life.work()
        assert await _differs(life, early[0], early[0].series[0]) is None
        assert (await life.status())[0]["quarters"]["state"] == "fresh"


async def test_null_texts_of_annotations_are_empty_for_the_previous_version(store_url):
    texts = ("data_source", "event_type", "description", "linked_url")
    outage = Annotation(DAY, None, **dict.fromkeys(texts), is_instantaneous=False)

    async def annotated(store):
        await saved(store, batch((query(), hours(0, 6))), numbers(0, 6), annotations=[outage])

    for revision, expected in [("0009", ["", "", None, None]), ("0008", [""] * 4)]:
        await fill(store_url, annotated, revision=revision)
        engine = sa.create_engine(store_url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as connection:
            found = connection.exec_driver_sql(f"SELECT {', '.join(texts)} FROM annotations").one()
        engine.dispose()
        assert [*found] == expected
        commands.upgrade(store_url)
        assert verify(store_url).findings == []

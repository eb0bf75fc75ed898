"""Every method of the store, tried against a database that cannot be had: a sentence, soon, and nothing half done."""

import asyncio
import inspect
import sqlite3
import time
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from collector.analysis.marks import Mark
from collector.datasets.catalogue import CatalogueEntry, EntryDetails
from collector.interval import AggInterval, Grid
from collector.profile import STAR
from collector.radar.errors import Unavailable
from collector.rules.clock_difference import ClockDifference
from collector.rules.normalization import Verdict
from collector.settings import RetentionSettings
from collector.store import (
    BackfillRequest,
    Budget,
    CompletedWindows,
    ExpectedWindow,
    Fire,
    JobProgress,
    JobStatus,
    ListRecord,
    NewBody,
    NewReplica,
    PassRecord,
    ReadBody,
    SeriesWanted,
    ServiceHeartbeat,
    Store,
    StoreUnavailable,
)
from collector.store.db import engine
from collector.store.db.schema import metadata
from collector.store.ledger.bodies import pack, write_question
from collector.store.read.selection import PointQuery
from tests.harness.factories import DAY, HOUR, NOW, answer, batch, exported, hours, profile, query, rows
from tests.store.write.test_snapshots import taken

PATIENCE = 0.1
SOON = 3.0
ALL = query()
ASKED = batch((ALL, hours(0, 4)))
WANTED = BackfillRequest(("all",), DAY, DAY + HOUR)
SUMS = profile("owners", dimension="CA_OWNER").series[0].query
STARRED = profile("starred", caOwner=(STAR,))
HOURLY = AggInterval.ONE_HOUR
BODY = NewBody(1, "odd", NOW, 200, 2, pack(b"{}"), write_question(ASKED))
READ = ReadBody(1, ASKED, answer(ASKED, [1, 2, 3, 4]))


async def delete_series(store):
    """Try to delete a series that is wanted where there are replicas."""
    with suppress(SeriesWanted):
        await store.delete_series(1, [], dry_run=False)


WRITES = {
    "save": lambda store: store.save(1, ASKED, answer(ASKED, [1, 2, 3, 4]), NOW, 10),
    "start_fetch": lambda store: store.start_fetch(ASKED, ["all"], NOW, 10),
    "check_writable": lambda store: store.check_writable(),
    "create_backfill": lambda store: store.create_backfill(WANTED, NOW),
    "activate_labels": lambda store: store.activate_labels([profile()], NOW),
    "extend_backfill": lambda store: store.extend_backfill(store.job, WANTED),
    "refuse": lambda store: store.refuse(ASKED.slices[0], "refused", "why", NOW),
    "delete_refusals": lambda store: store.delete_refusals(["it"]),
    "accept_credentials": lambda store: store.accept_credentials("it"),
    "fail": lambda store: store.fail(1, Unavailable("down"), NOW),
    "interrupt": lambda store: store.interrupt(NOW),
    "prune": lambda store: store.prune(RetentionSettings(fires=timedelta(days=3650)), NOW),
    "compact": lambda store: store.compact(),
    "claim": lambda store: store.claim("profile", ["all"], NOW, lambda free, _: []),
    "register": lambda store: store.register(NewReplica("me", "1", ["all"], HOUR)),
    "finish": lambda store: store.finish([Fire("all", DAY, "collected", NOW)], []),
    "release": lambda store: store.release("profile", ["all"]),
    "renew_lease": lambda store: store.renew_lease(HOUR, NOW),
    "deregister": lambda store: store.deregister(NOW),
    "claim_windows": lambda store: store.claim_windows(store.job, [ALL], NOW, lambda free, _: (free, [])),
    "finish_backfill": lambda store: store.finish_backfill(store.job, 0, NOW),
    "enqueue_windows": lambda store: store.enqueue_windows(store.job, ASKED.slices, alone=True),
    "complete_windows": lambda store: store.complete_windows(
        CompletedWindows(store.job.id, ASKED.slices, {}, JobProgress())
    ),
    "stop_backfill": lambda store: store.stop_backfill(store.job, JobStatus("stopped", JobProgress(), "told to"), NOW),
    "record_deviations": lambda store: store.record_deviations(["odd"], 1, NOW),
    "try_credentials_at_once": lambda store: store.try_credentials_at_once("it"),
    "add_progress": lambda store: store.add_progress(store.job, JobProgress(requests=1)),
    "confirm": lambda store: store.confirm(ALL, [(0, 1)], 0),
    "set_sums_differ": lambda store: store.set_sums_differ(ALL),
    "write_heartbeat": lambda store: store.write_heartbeat(ServiceHeartbeat("me:1", "1", NOW)),
    "keep_body": lambda store: store.keep_body(BODY),
    "mark_read": lambda store: store.mark_read(1),
    "replay": lambda store: store.replay(READ, NOW),
    "propose_grid": lambda store: store.propose_grid(None, HOURLY, NOW),
    "move_grid": lambda store: store.move_grid(Grid(HOURLY, timedelta(minutes=30)), NOW),
    "requeue_backfill": lambda store: store.requeue_backfill(store.job),
    "set_edges": lambda store: store.set_edges({ALL: None}),
    "build_days": lambda store: store.build_days(NOW + 7 * timedelta(days=1)),
    "regroup_coverage": lambda store: store.regroup_coverage(),
    "rewrite_records": lambda store: store.rewrite_records(),
    "fold_coverage": lambda store: store.fold_coverage(NOW),
    "set_clock_difference": lambda store: store.set_clock_difference(ClockDifference()),
    "set_normalization": lambda store: store.set_normalization(Verdict("COUNT", "undecided", NOW)),
    "set_unit_names": lambda store: store.set_unit_names("certificates", ["name"]),
    "set_state": lambda store: store.set_state("a", "b"),
    "save_snapshots": lambda store: store.save_snapshots([taken(1, 2)], NOW),
    "set_snapshot_record": lambda store: store.set_snapshot_record("all", PassRecord()),
    "cancel_backfill": lambda store: store.cancel_backfill(store.job.id, NOW),
    "delete_series": delete_series,
    "end_catalogue_request": lambda store: store.end_catalogue_request(1, 10, NOW),
    "save_list": lambda store: store.save_list("logs", [CatalogueEntry("a", "{}")], NOW, ListRecord(), is_whole=True),
    "save_details": lambda store: store.save_details("logs", EntryDetails("a", "{}"), NOW),
    "save_absence": lambda store: store.save_absence("logs", "a", NOW),
    "finish_catalogue_item": lambda store: store.finish_catalogue_item("logs", NOW, None),
    "add_mark": lambda store: store.add_mark(Mark(start=DAY, text="it"), NOW),
    "remove_mark": lambda store: store.remove_mark(1),
    "compare_sums": lambda store: store.compare_sums(SUMS, 0),
    "mark_reread": lambda store: store.mark_reread(SUMS, [(0, 1)], NOW),
    "learn_publication": lambda store: store.learn_publication({HOURLY: (NOW, DAY)}),
    "learn_revisions": lambda store: store.learn_revisions(NOW),
}
READS = {
    "adopt": lambda store: store.adopt(NOW),
    "covered_windows": lambda store: store.covered_windows(ALL, hours(0, 4), NOW),
    "read_as_of": lambda store: store.read_as_of(lambda history: history.series("ct")),
    "last_covered_at": lambda store: store.last_covered_at([ALL], DAY),
    "backfill": lambda store: store.backfill(1),
    "beginnings": lambda store: store.beginnings([ExpectedWindow(ALL, hours(0, 4), HOUR)]),
    "budget": lambda store: store.budget(NOW, 10),
    "budget_free_at": lambda store: store.budget_free_at(NOW, Budget(1, 1, None)),
    "commands": lambda store: store.commands(),
    "daily_group_sums": lambda store: store.daily_group_sums(ALL, hours(0, 4)),
    "daily_sums": lambda store: store.daily_sums(ALL, hours(0, 4)),
    "ahead": lambda store: store.ahead(),
    "clock_difference": lambda store: store.clock_difference(),
    "normalizations": lambda store: store.normalizations(),
    "deviations": lambda store: store.deviations(),
    "doubtful_annotations": lambda store: store.doubtful_annotations(DAY, NOW),
    "edges": lambda store: store.edges([ALL]),
    "bodies": lambda store: store.bodies(),
    "body": lambda store: store.body(1),
    "question": lambda store: store.question(1),
    "kinds_without_example": lambda store: store.kinds_without_example(["odd"]),
    "rehearse_replay": lambda store: store.rehearse_replay(READ, NOW),
    "grids": lambda store: store.grids(),
    "learned_grids": lambda store: store.learned_grids(),
    "former_grids": lambda store: store.former_grids(),
    "has_history": lambda store: store.has_history(HOURLY),
    "list_state": lambda store: store.list_state(),
    "empty": lambda store: store.empty([ALL]),
    "export": exported,
    "export_blocks": lambda store: anext(store.export_blocks(), None),
    "gap_requests": lambda store: store.gap_requests([ExpectedWindow(ALL, hours(0, 4), HOUR)], NOW),
    "get_state": lambda store: store.get_state("a"),
    "history_begins": lambda store: store.history_begins(1),
    "gaps": lambda store: store.gaps(ALL, hours(0, 4), HOUR),
    "find_gaps": lambda store: store.find_gaps([ExpectedWindow(ALL, hours(0, 4), HOUR)]),
    "info": lambda store: store.info(),
    "last_fire": lambda store: store.last_fire("all"),
    "last_fires": lambda store: store.last_fires(["all"]),
    "list_annotations": lambda store: store.list_annotations(),
    "list_backfills": lambda store: store.list_backfills(),
    "list_fetches": lambda store: store.list_fetches(),
    "list_fires": lambda store: store.list_fires(),
    "list_replicas": lambda store: store.list_replicas(),
    "list_revisions": lambda store: store.list_revisions(),
    "list_series": lambda store: store.list_series(),
    "with_read_view": lambda store: store.with_read_view(lambda state: state.info()),
    "measures": lambda store: store.measures([ALL]),
    "newest_buckets": lambda store: store.newest_buckets([ALL]),
    "newest_answer": lambda store: store.newest_answer("all"),
    "of_profile": lambda store: store.of_profile("all"),
    "open_backfills": lambda store: store.open_backfills(),
    "paused": lambda store: store.paused([ALL], NOW),
    "rejection_reason": lambda store: store.rejection_reason("it"),
    "refuses_path": lambda store: store.refuses_path("it", "/radar/ct/timeseries", accepted_elsewhere=False),
    "refusals": lambda store: store.refusals(NOW),
    "relative_queries": lambda store: store.relative_queries([ALL]),
    "renamed": lambda store: store.renamed(["all"]),
    "throttles": lambda store: store.throttles("it", NOW),
    "select_blocks": lambda store: anext(store.select_blocks(PointQuery()), None),
    "selected": lambda store: store.selected(PointQuery()),
    "series_states": lambda store: store.series_states([ALL]),
    "snapshot_reaches": lambda store: store.snapshot_reaches([ALL]),
    "snapshot_record": lambda store: store.snapshot_record("all"),
    "snapshots": lambda store: store.snapshots([ALL]),
    "service": lambda store: store.service(),
    "extents": lambda store: store.extents([ALL]),
    "status_rows": lambda store: store.status_rows([profile()]),
    "complete_extents": lambda store: store.complete_extents([ALL]),
    "upstream": lambda store: store.upstream(NOW),
    "downsample": lambda store: store.downsample(PointQuery(), 100),
    "unconfirmed": lambda store: store.unconfirmed([profile()]),
    "unit_changes": lambda store: store.unit_changes([ALL]),
    "catalogue_entries": lambda store: store.catalogue_entries("logs"),
    "catalogue_states": lambda store: store.catalogue_states(),
    "next_details": lambda store: store.next_details(1),
    "upstream_lag": lambda store: store.upstream_lag("all"),
    "list_marks": lambda store: store.list_marks(),
    "newest_values": lambda store: store.newest_values(["all"], NOW, 10),
    "placed": lambda store: store.placed([STARRED]),
    "count_groups": lambda store: store.count_groups([SUMS]),
    "remainders": lambda store: store.remainders(SUMS, hours(0, 4)),
    "differing_windows": lambda store: store.differing_windows([SUMS]),
    "stream_view": lambda store: anext(store.stream_view(lambda state: iter([state.info()]))),
}
EVERYTHING = {**WRITES, **READS}
NOT_IN_THE_DATABASE = {"announce", "backend", "open", "release_memory"}


def test_every_method_of_the_store_is_tried():
    public = {name for name, _ in inspect.getmembers(Store) if not name.startswith("_")}
    assert public - NOT_IN_THE_DATABASE == set(EVERYTHING)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(engine, "BUSY_SECONDS", PATIENCE)
    monkeypatch.setitem(engine._SQLITE_OPTIONS, "connect_args", {"isolation_level": None, "timeout": PATIENCE})


@pytest.fixture
async def store(store_url, impatient):
    async with Store.open(store_url, owner="test") as store:
        await store.register(NewReplica("me", "1", ["all"], HOUR))
        await store.activate_labels([profile()], NOW)
        await store.start_fetch(ASKED, ["all"], NOW, 10)
        store.job = await store.create_backfill(WANTED, NOW)
        store.url = store_url
        yield store


def lock(url):
    """Take every lock there is, in a connection that is to be closed."""
    if url.startswith("sqlite"):
        other = sqlite3.connect(sa.make_url(url).database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        return closing(other)
    other = psycopg.connect(url)
    other.execute(f"LOCK TABLE {', '.join(metadata.tables)} IN ACCESS EXCLUSIVE MODE")
    return closing(other)


def delete(url):
    Path(sa.make_url(url).database).unlink()


async def refused(store, attempts):
    """Try each of *attempts* in vain, and give what was said, by name."""
    said = {}
    for name, attempt in attempts.items():
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable) as error:
            await attempt(store)
        assert time.monotonic() - begun < SOON, name
        said[name] = str(error.value)
    return said


async def accepted(store, attempts):
    for attempt in attempts.values():
        await attempt(store)


def lacking(said, sentence):
    return {name: text for name, text in said.items() if sentence not in text}


async def test_a_locked_store_takes_no_write_and_is_said_to_be_locked(store):
    with lock(store.url):
        assert lacking(await refused(store, WRITES), "is locked by another program") == {}
    assert [fetch.outcome for fetch in await store.list_fetches()] == ["started"]
    assert await rows(store, "SELECT * FROM points") == []
    await accepted(store, WRITES)


async def test_a_lock_on_sqlite_keeps_nobody_from_reading(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as store:
        with lock(sqlite_url):
            await accepted(store, READS)


async def test_a_lock_on_all_tables_of_postgres_is_not_waited_for_for_ever(postgres_url, impatient):
    async with Store.open(postgres_url, owner="test") as store:
        with lock(postgres_url):
            assert lacking(await refused(store, READS), "is locked by another program") == {}
        await accepted(store, READS)


async def test_a_store_whose_file_is_gone_gives_and_takes_nothing(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as store:
        store.job = await store.create_backfill(WANTED, NOW)
        delete(sqlite_url)
        assert lacking(await refused(store, EVERYTHING), "was deleted or replaced") == {}
        await store.release_memory()


async def test_a_server_that_is_gone_is_an_error_until_it_is_back(postgres_server, postgres_url):
    database = sa.make_url(postgres_url).database
    async with Store.open(postgres_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await store.start_fetch(ASKED, ["all"], NOW, 10)
        store.job = await store.create_backfill(WANTED, NOW)
        postgres_server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        postgres_server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        assert lacking(await refused(store, EVERYTHING), f"/{database} ") == {}
        postgres_server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        await accepted(store, EVERYTHING)


async def test_a_full_disk_stops_writing_and_it_goes_on_when_there_is_room(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)

        def full(connection):
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        def room(connection):
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

        asked = batch((ALL, hours(0, 5000)))
        fetch_id = (await store.start_fetch(asked, ["all"], NOW, 10)).fetch_id
        many = answer(asked, [n / 7 for n in range(5000)])
        await store._database.write(full)
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await store.save(fetch_id, asked, many, NOW, 10)
        assert await rows(store, "SELECT * FROM points") == []
        await store._database.write(room)
        assert (await store.save(fetch_id, asked, many, NOW, 10)).inserted == 5000


async def test_many_who_wait_for_a_locked_store_each_hear_of_it(sqlite_url, impatient):
    async with Store.open(sqlite_url, owner="test") as store:
        with lock(sqlite_url):
            found = await asyncio.gather(*(store.set_state("a", "b") for _ in range(5)), return_exceptions=True)
        assert [type(error) for error in found] == [StoreUnavailable] * 5

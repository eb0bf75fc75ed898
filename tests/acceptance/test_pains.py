"""What users of such tools complain of in public. Each test is named after one complaint and shows that it cannot be.

Those that need a clock to be moved run in this process, the others are real processes. More of them stand where they
belong: long histories in test_pains_of_history, a page of HTML read as JSON in test_faults, a misspelt variable in
test_configuration, a second writer and a crash in test_signals, replicas that race the migration in test_migrations.
"""

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta
from itertools import pairwise

from collector.collect.worker import ProfileWorker
from collector.model import Window
from collector.simulator import GapChange, RevisionChange
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass
from tests.harness.factories import profile as make
from tests.harness.factories import query
from tests.harness.processes import eventually, midnight, profile_toml

_SINCE = NOW.replace(hour=0, minute=0) - 5 * DAY


async def _is_true(core, since=_SINCE):
    window = Window(since, HOUR.floor(core.clock()))
    return (await core.stored())["all"] == core.truth(query(), window)


async def test_newest_bucket_partial_and_never_corrected(sqlite_url):
    async with open_core(sqlite_url, make(since=_SINCE), unfinished="partial", revised_for=timedelta(days=2)) as core:
        await run_pass(core, gaps=True)
        for _ in range(30):
            core.clock.advance(hours=1)
            await run_pass(core)
        core.clock.advance(days=3)
        core.restart()
        await run_pass(core)
        assert await _is_true(core)


async def test_last_bucket_dropped_blindly_although_complete(sqlite_url):
    async with open_core(sqlite_url, make(since=_SINCE)) as core:
        await run_pass(core, gaps=True)
        assert max((await core.stored())["all"]) + HOUR.seconds == HOUR.floor(NOW).timestamp()


async def test_an_error_in_one_tick_is_a_hole_for_ever(sqlite_url):
    async with open_core(sqlite_url, make()) as core:
        worker = ProfileWorker(core.profiles, core.store, core.batch_runner)
        for hour in range(12):
            if hour % 3 == 1:
                core.script(faults.unequal())
            await worker.run_due()
            core.clock.advance(hours=1)
        await worker.run_due()
        assert await _is_true(core, NOW.replace(hour=0, minute=0) - DAY)


def test_series_vanish_after_an_error_and_nobody_sees_the_last_success(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    collector.run("collect")
    before = collector.export("--end", "2h")
    simulator.script(faults.unequal().always())
    collector.run("collect", expect=1)
    assert collector.export("--end", "2h") == before
    (row,) = collector.json("status")["profiles"]
    assert row["last_success"] is not None
    assert row["failures"] > 0


def test_does_nothing_no_log_no_metric(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.html(503).always())
    with collector.running("run") as daemon:
        daemon.says("outcome=unavailable", "HTTP 503")
        assert daemon.ends() == 0


async def test_late_rows_below_the_high_water_mark_are_lost(sqlite_url):
    late = Window(_SINCE + DAY, _SINCE + DAY + timedelta(hours=4))
    async with open_core(sqlite_url, make(since=_SINCE)) as core:
        core.simulator.change(GapChange(late, until=(NOW + timedelta(hours=3)).timestamp()))
        await run_pass(core, gaps=True)
        for _ in range(26):
            core.clock.advance(hours=1)
            await run_pass(core)
        assert await _is_true(core)


def test_duplicates_after_the_state_was_written_apart_from_the_data(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    for _ in range(3):
        collector.run("collect")
    assert collector.rows("SELECT series_id, timestamp FROM points GROUP BY 1, 2 HAVING count(*) > 1") == []
    saved = collector.rows("SELECT sum(inserted) FROM fetches")[0][0]
    assert saved == collector.count("points")


async def test_an_earlier_start_date_is_ignored_or_downloads_everything_again(sqlite_url):
    async with open_core(sqlite_url, make(since=_SINCE)) as core:
        await run_pass(core, gaps=True)
        await core.activate_labels(make(since=_SINCE - 200 * DAY))
        healed = await run_pass(core, fires=False, gaps=True)
        assert await _is_true(core, _SINCE - 200 * DAY)
        assert healed.saved.unchanged <= 31 * 24


def test_delete_stale_wiped_history(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml(), profile_toml("other", "1d", 9))
    collector.run("collect")
    before = collector.export("other")
    collector.configure(profile_toml())
    collector.run("collect")
    assert collector.export("other") == before != ""


def test_renaming_a_profile_loses_its_history(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml("before", days=20))
    collector.run("collect")
    points = collector.points()["before"]
    asked = len(simulator.requests)
    collector.configure(profile_toml("after", days=20))
    collector.run("collect")
    assert collector.points()["after"].items() >= points.items()
    assert len(simulator.requests) - asked <= 1


async def test_silent_holes_although_the_job_says_ok_and_holes_in_the_middle_not_found(sqlite_url, tmp_path):
    async with open_core(sqlite_url, make(since=_SINCE)) as core:
        await run_pass(core, gaps=True)
        with closing(sqlite3.connect(tmp_path / "collector.db")) as connection, connection:
            connection.execute("DELETE FROM points WHERE timestamp % 86400 = 43200")
            connection.execute("UPDATE series SET points = (SELECT count(*) FROM points)")
        core.clock.advance(days=1, hours=1)
        await run_pass(core, fires=False, gaps=True)
        await run_pass(core)
        assert await _is_true(core)


def test_rows_missing_at_random_between_equal_calls(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml(), profile_toml("quarters", "15m", 2))
    collector.run("collect")
    assert len({collector.export("--end", "2h") for _ in range(3)}) == 1


def test_time_zones_and_dst(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml(days=9))
    exports = set()
    for zone in ("America/St_Johns", "Pacific/Kiritimati"):
        collector.run("collect", environ={"TZ": zone})
        exports.add(collector.run("export", "--end", f"{midnight(1):%Y-%m-%d}", environ={"TZ": zone}).stdout)
    assert len(exports) == 1
    assert exports.pop().count("\n") == 1 + 8 * 24


def test_a_corrupt_sqlite_file_silently_replaced_by_an_empty_one(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    collector.run("collect")
    path = collector.folder / "collector.db"
    spoilt = b"SQLite format 3\0" + b"\xff" * 100 + path.read_bytes()[116:]
    path.write_bytes(spoilt)
    for command in ("collect", "run", "status"):
        ask = collector.run if command == "run" else collector.call
        assert str(path) in ask(command, expect=1).stderr
    assert path.read_bytes() == spoilt


async def test_a_missed_job_is_dropped_after_a_second_of_grace(sqlite_url):
    async with open_core(sqlite_url, make()) as core:
        worker = ProfileWorker(core.profiles, core.store, core.batch_runner)
        await worker.run_due()
        core.clock.advance(minutes=59, seconds=59)
        await worker.run_due()
        assert [fire.outcome for fire in await core.store.list_fires()] == ["collected", "collected"]


async def test_a_restart_floods_with_missed_runs_or_skips_them(sqlite_url):
    async with open_core(sqlite_url, make()) as core:
        await ProfileWorker(core.profiles, core.store, core.batch_runner).run_due()
        core.clock.advance(days=7)
        core.restart()
        asked = len(core.requests)
        await ProfileWorker(core.profiles, core.store, core.batch_runner).run_due()
        assert len(core.requests) - asked <= 2
        fires = await core.store.list_fires()
        assert len(fires) == 1 + 7 * 24
        assert Counter(fire.outcome for fire in fires) == {"collected": 2, "coalesced": 7 * 24 - 1}
        assert await _is_true(core, NOW.replace(hour=0, minute=0) - DAY)


async def test_retry_after_ignored_gave_up_on_300_seconds_after_3_hits(sqlite_url):
    async with open_core(sqlite_url, make()) as core:
        core.script(faults.too_many("300").times(3))
        assert (await run_pass(core)).complete
        times = [received.at for received in core.requests]
        assert all(later - earlier >= 300 for earlier, later in pairwise(times))
        assert len(times) == 4


async def test_no_vintages_what_was_known_when(sqlite_url):
    async with open_core(sqlite_url, make(since=_SINCE)) as core:
        await run_pass(core, gaps=True)
        known = await core.stored()
        moment = core.clock()
        core.simulator.change(RevisionChange(Window(_SINCE, _SINCE + 4 * DAY), 5))
        core.clock.advance(days=1, hours=2)
        await run_pass(core)
        assert await _is_true(core)
        then = {t: v async for *_, t, v in core.store.export(as_of=moment)}
        assert then == known["all"]


async def test_null_becomes_nan_zero_or_missing(sqlite_url):
    async with open_core(sqlite_url, make()) as core:
        core.script(faults.value(None).always())
        collected = await run_pass(core)
        assert collected.complete
        (stored,) = (await core.stored()).values()
        until = HOUR.floor(NOW)
        truth = core.truth(query(), Window(until - 2 * DAY, until))
        assert len(stored) > 20
        assert stored.items() <= truth.items()


async def test_refetching_too_eagerly_clogs_the_queue(sqlite_url):
    async with open_core(sqlite_url, make(since=_SINCE)) as core:
        await run_pass(core, gaps=True)
        asked = len(core.requests)
        for _ in range(24):
            core.clock.advance(hours=1)
            await run_pass(core)
            await run_pass(core, fires=False, gaps=True)
        assert len(core.requests) - asked <= 24 + 2


def test_exits_0_on_failure(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.unequal().always())
    collector.run("collect", expect=1)
    collector.call("healthcheck", expect=1)


def test_the_live_writer_collides_with_a_reader_and_the_database_is_locked(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml("quarters", "15m", 200))
    with collector.running("run") as daemon:
        daemon.says("collect outcome=collected")
        with closing(sqlite3.connect(collector.folder / "collector.db")) as reader:
            reader.execute("BEGIN")
            before = reader.execute("SELECT count(*) FROM points").fetchone()
            eventually(lambda: collector.count("points") > 190 * 96, 30)
            assert reader.execute("SELECT count(*) FROM points").fetchone() == before
        assert daemon.ends() == 0
    assert "locked" not in daemon.log

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from collector.collect.worker import ProfileWorker
from collector.interval import AggInterval
from collector.model import Window
from collector.report.gaps import Gap, find_gaps
from collector.report.status import status_document
from collector.simulator import GapChange
from collector.store import NewReplica, ServiceHeartbeat, Store, process_name
from collector.store.db.column_types import Timestamp
from collector.timestamps import rfc3339
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, batch, open_core
from tests.harness.factories import many, profile, query


async def _row(core):
    document = await status_document(core.store, core.profiles, 600, core.clock())
    return document["profiles"][0]


async def _attend(core):
    await ProfileWorker(core.profiles, core.store, core.batch_runner).run_due()


async def test_it_works(store_url):
    async with open_core(store_url, many(3)) as core:
        assert (await _row(core))["state"] == "new"
        await _attend(core)
        document = await status_document(core.store, core.profiles, 600, core.clock())
        (row,) = document["profiles"]
        newest = HOUR.floor(NOW) - timedelta(hours=1)
        assert row | {"points": 0} == {
            "name": "many",
            "agg_interval": "1h",
            "series": 3,
            "points": 0,
            "first_point": NOW.replace(hour=0, minute=0) - DAY,
            "last_point": newest,
            "last_success": NOW,
            "lag_seconds": 0,
            "gaps": 0,
            "upstream_gaps": 0,
            "unconfirmed": 0,
            "proof": None,
            "history_begins": None,
            "clock_difference_seconds": None,
            "failures": 0,
            "next_fire": None,
            "state": "fresh",
            "waiting": None,
            "healthy": True,
        }
        assert row["points"] == 3 * 36 == document["store"]["points"]
        assert document["store"]["backend"] == core.store.backend
        assert document["budget"] == {"limit": 600, "used": 1, "window_seconds": 300, "blocked_until": None}
        assert (document["service"], document["warnings"], document["waiting"]) == (None, [], None)


async def test_late_two_minutes_after_a_due_time(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        await _attend(core)
        core.clock.now = HOUR.floor(NOW) + timedelta(hours=1, minutes=3, seconds=59)
        assert (await _row(core))["state"] == "fresh"
        core.clock.advance(seconds=1)
        assert (await _row(core))["state"] == "late"


async def test_fresh_when_the_due_moment_moved_after_the_pass(sqlite_url):
    async with open_core(sqlite_url, profile(learned_delay=timedelta(minutes=9))) as core:
        await _attend(core)
        assert core.profiles[0].due(NOW) < HOUR.floor(NOW)
        core.clock.now = HOUR.floor(NOW) + timedelta(minutes=9 + 3)
        assert (await _row(core))["state"] == "fresh"
        core.clock.advance(hours=1)
        assert (await _row(core))["state"] == "late"


async def test_failing_until_the_buckets_are_answered(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        worker = ProfileWorker(core.profiles, core.store, core.batch_runner)
        core.script(faults.unequal())
        await worker.run_due()
        row = await _row(core)
        assert (row["state"], row["failures"], row["last_success"]) == ("failing", 1, None)
        core.clock.advance(minutes=1)
        await worker.run_due()
        row = await _row(core)
        assert (row["state"], row["failures"]) == ("fresh", 0)


async def test_failing_while_one_of_its_series_fails(sqlite_url):
    async with open_core(sqlite_url, many(3)) as core:
        ill = lambda got: any("Owner 1" in a.query.filters["caOwner"] for a in got.request.series)  # noqa: E731
        core.script(faults.api_error(400, 2001).always().only(ill))
        worker = ProfileWorker(core.profiles, core.store, core.batch_runner)
        for _ in range(3):
            await worker.run_due()
            core.clock.advance(minutes=4)
            assert (await _row(core))["state"] == "failing"
        core.simulator.clear_script()
        await worker.run_due()
        assert (await _row(core))["state"] == "fresh"


async def test_gaps_are_counted_and_named(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        start = HOUR.floor(NOW) - timedelta(hours=5)
        core.simulator.change(GapChange(Window(start, start + timedelta(hours=2))))
        await _attend(core)
        row = await _row(core)
        assert (row["state"], row["gaps"]) == ("gaps", 2)


async def test_a_rate_limit_is_shown_until_it_ends(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        core.script(faults.too_many("3600"))
        await _attend(core)
        document = await status_document(core.store, core.profiles, 600, core.clock())
        assert document["budget"]["blocked_until"] == NOW + timedelta(hours=1)
        core.clock.advance(hours=2)
        document = await status_document(core.store, core.profiles, 600, core.clock())
        assert document["budget"]["blocked_until"] is None


@pytest.mark.parametrize(
    ("state", "fault", "seconds"),
    [("silent", faults.html(503), 60), ("unauthorized", faults.api_error(403, 10000, "Authentication error"), 300)],
)
async def test_an_open_circuit_breaker_is_shown_until_it_closes(store_url, state, fault, seconds):
    async with open_core(store_url, profile()) as core:
        core.script(fault.always())
        for _ in range(3):
            await _attend(core)
        asked = core.requests[-1].at
        radar = (await status_document(core.store, core.profiles, 600, core.clock()))["upstream"]
        assert radar["state"] == state
        assert radar["reason"].startswith("HTTP ")
        assert radar["asked_again_at"].timestamp() == pytest.approx(asked + seconds)
        core.simulator.clear_script()
        core.clock.advance(minutes=6)
        await _attend(core)
        radar = (await status_document(core.store, core.profiles, 600, core.clock()))["upstream"]
        assert radar == {"state": "ok", "reason": None, "asked_again_at": None}


async def _document(core, limit=600):
    return await status_document(core.store, core.profiles, limit, core.clock())


async def test_without_a_service_there_is_no_next_fire(store_url):
    async with open_core(store_url, profile()) as core:
        await _attend(core)
        document = await _document(core)
        assert document["service"] is None
        assert (document["profiles"][0]["next_fire"], document["profiles"][0]["state"]) == (None, "fresh")
        if core.store.backend == "sqlite":
            (command,) = document["commands"]
            assert command.startswith("`collector test` (process ")


async def test_a_running_service_fires_what_it_collects(store_url):
    async with Store.open(store_url, owner="run") as store:
        name = process_name("host", os.getpid())
        await store.register(NewReplica(name, "1.2", ["all"], timedelta(minutes=5)))
        await store.write_heartbeat(ServiceHeartbeat(name, "1.2", NOW, NOW - timedelta(minutes=1)))
        document = await status_document(store, [profile(), profile("other")], 600, NOW)
        service = document["service"]
        assert (service["running"], service["name"], service["version"]) == (True, name, "1.2")
        assert service["last_progress"] == NOW - timedelta(minutes=1)
        fires = [row["next_fire"] for row in document["profiles"]]
        expected = HOUR.floor(NOW) + timedelta(hours=1, minutes=2)
        assert fires == [expected, expected if store.backend == "sqlite" else None]
        assert document["warnings"] == []
        document = await status_document(store, [], 600, NOW + timedelta(minutes=2, seconds=1))
        assert document["warnings"] == [f"the service {name} has not renewed its heartbeat since {rfc3339(NOW)}"]


def _stall(core, since):
    """Have Radar's data end at *since*, whatever the time is."""
    lag = core.clock() - since
    core.simulator._history._options = replace(core.simulator.options, lag=lag)


async def test_stale_when_an_answer_shows_that_radar_does_not_move_on(store_url):
    async with open_core(store_url, profile(), lag=timedelta(minutes=30)) as core:
        for _ in range(6):
            await _attend(core)
            assert (await _row(core))["state"] == "fresh"
            core.clock.advance(hours=1)
        since, states = core.clock() - timedelta(minutes=30), {}
        for hour in range(12):
            _stall(core, since)
            await _attend(core)
            row = await _row(core)
            states[hour] = row["state"]
            assert row["gaps"] == 0
            assert row["healthy"] == (row["state"] == "fresh")
            core.clock.advance(hours=1)
        assert states == {hour: "fresh" if hour < 2 else "stale" for hour in range(12)}
        assert row["lag_seconds"] >= 10 * 3600
        core.simulator._history._options = core.simulator.options
        await _attend(core)
        row = await _row(core)
        assert (row["state"], row["lag_seconds"]) == ("fresh", 0)


async def test_stale_when_no_new_bucket_comes_although_lastupdated_moves_on(store_url):
    async with open_core(store_url, profile()) as core:
        await _attend(core)
        core.simulator.change(GapChange(Window(HOUR.floor(NOW), HOUR.floor(NOW) + 9 * DAY)))
        states = []
        for _ in range(6):
            core.clock.advance(hours=1)
            await _attend(core)
            states.append((await _row(core))["state"])
        assert states == ["fresh", "gaps"] + ["stale"] * 4


async def test_a_bucket_that_was_not_requested_is_late_and_not_stale(sqlite_url):
    async with open_core(sqlite_url, profile(since=NOW - 9 * DAY)) as core:
        await _attend(core)
        core.clock.advance(days=2)
        assert (await _row(core))["state"] == "late"
        past = batch(query(), end=NOW - 5 * DAY)
        await core.fetcher.fetch(past, ["all"])
        assert (await _row(core))["state"] in ("gaps", "fresh", "late")


@pytest.mark.parametrize("interval", list(AggInterval))
async def test_a_complete_profile_has_no_lag(sqlite_url, interval):
    lag = timedelta(minutes=45)
    async with open_core(sqlite_url, profile(agg_interval=interval, lookback=14 * DAY), lag=lag) as core:
        for _ in range(3):
            await _attend(core)
            core.clock.advance(hours=2)
        core.clock.now = interval.floor(core.clock()) + interval.step - timedelta(minutes=1)
        await _attend(core)
        core.clock.advance(minutes=1)  # one more bucket has closed just now
        row = await _row(core)
        assert (row["lag_seconds"], row["state"]) == (0, "fresh")
        core.clock.advance(days=14)
        assert (await _row(core))["lag_seconds"] == pytest.approx(14 * 86400, abs=interval.seconds)


@pytest.mark.parametrize(
    ("reason", "fault", "seconds"),
    [
        ("silent", faults.html(503), 60),
        ("credentials", faults.api_error(403, 10000, "Authentication error"), 300),
        ("blocked", faults.too_many("3600"), 3600),
    ],
)
async def test_a_wait_is_shown_with_its_reason_and_its_end(store_url, reason, fault, seconds):
    async with open_core(store_url, profile()) as core:
        core.script(fault.always())
        for _ in range(3):
            await _attend(core)
        end = pytest.approx(core.requests[-1].at + seconds, abs=1)
        document = await _document(core)
        row = document["profiles"][0]
        assert document["waiting"]["reason"] == row["waiting"]["reason"] == reason
        assert document["waiting"]["until"].timestamp() == end
        assert document["budget"]["blocked_until"].timestamp() == end
        assert (row["state"], row["healthy"]) == ("waiting", True)
        assert document["waiting"]["message"]
        core.clock.advance(minutes=15)
        if reason == "blocked":
            assert (await _row(core))["healthy"] is False
        core.simulator.clear_script()
        core.clock.advance(hours=2)
        await _attend(core)
        document = await _document(core)
        assert (document["waiting"], document["profiles"][0]["waiting"]) == (None, None)
        assert document["profiles"][0]["state"] == "fresh"


async def test_a_spent_budget_is_shown_as_a_wait(store_url):
    async with open_core(store_url, profile()) as core:
        await core.fetcher.fetch(batch(query()), ["other"])
        document = await _document(core, limit=1)
        assert document["waiting"]["reason"] == "budget"
        assert document["waiting"]["until"] == NOW + timedelta(seconds=300)
        assert document["budget"]["blocked_until"] is None
        assert document["profiles"][0]["state"] == "waiting"
        await _attend(core)
        assert (await _document(core, limit=1))["profiles"][0]["state"] == "fresh"


async def test_a_paused_question_is_shown_with_its_end(store_url):
    async with open_core(store_url, profile()) as core:
        core.script(faults.unequal())
        await _attend(core)
        again = NOW + timedelta(minutes=8)
        await refuse(core.store, query(), again)
        row = await _row(core)
        assert row["state"] == "failing"
        assert row["waiting"]["reason"] == "refused"
        assert (row["waiting"]["until"], row["waiting"]["message"]) == (again, "unequal arrays")
        core.clock.now = again
        assert (await _row(core))["waiting"] is None


async def refuse(store, asked, again):
    """Put on record what a refused answer leaves there."""
    text = "INSERT INTO refusals VALUES (:digest, 'untrusted', 'unequal arrays', 3, :at, :again)"
    moments = {"at": sa.bindparam("at", type_=Timestamp), "again": sa.bindparam("again", type_=Timestamp)}
    statement = sa.text(text).bindparams(*moments.values())

    def work(connection):
        connection.execute(sa.text("DELETE FROM refusals"))
        connection.execute(statement, {"digest": asked.digest, "at": again - DAY, "again": again})

    await store._database.write(work)


async def test_values_that_are_relative_to_one_answer_have_no_gaps(store_url):
    one = profile(since=NOW - 30 * DAY)
    async with open_core(store_url, one, normalization="MIN_MAX") as core:
        await _attend(core)
        row = await _row(core)
        assert (row["state"], row["gaps"], row["upstream_gaps"]) == ("relative", 0, 0)
        assert await find_gaps(core.store, [one], core.clock()) == []


async def test_an_upstream_gap_does_not_make_the_state_gaps(sqlite_url, monkeypatch):
    async with open_core(sqlite_url, profile()) as core:
        await _attend(core)

        def gaps(*_):
            return [Gap("all", "all", NOW - 2 * DAY, NOW - DAY, 24, "upstream")]

        monkeypatch.setattr("collector.report.status.gaps_of_profiles", gaps)
        row = await _row(core)
        assert (row["state"], row["gaps"], row["upstream_gaps"]) == ("fresh", 0, 24)

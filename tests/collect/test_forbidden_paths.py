"""A 403 on one path alone pauses the series of this path; a 403 on every path stops all requests."""

from datetime import timedelta
from itertools import pairwise

import pytest

from collector.collect.catalogue.keep import refresh_due
from collector.collect.worker import ProfileWorker
from collector.report.status import status_document
from tests.harness import faults
from tests.harness.collect_core import DAY, NOW, open_core, run_pass
from tests.harness.factories import profile

DENIED = faults.api_error(403, 10000, "Authentication error")
OWNERS = profile("owners", dimension="CA_OWNER", since=NOW - 2 * DAY)
LEVELS = profile("levels", dimension="VALIDATION_LEVEL", since=NOW - 2 * DAY)
ALL = profile()
ORDERS = ["refused first", "healthy first"]


def on(*parts, fault=DENIED):
    """Refuse the paths that contain one of *parts*."""
    return lambda received: fault if any(part in received.path for part in parts) else None


async def live(core, hours, workers, seconds=60):
    """Let *workers* run every few seconds. Return {profile: {success: its delay after the due moment}}."""
    start, successes = core.clock(), {}
    while core.clock() < start + timedelta(hours=hours):
        for worker in workers:
            await worker.run_due()
            for name, health in worker.health.items():
                if health.success and health.success >= start:
                    successes.setdefault(name, {})[health.success] = health.success - health.due
        core.clock.now += timedelta(seconds=seconds)
    return successes


def workers_of(core, *profiles):
    return [ProfileWorker([one], core.store, core.batch_runner) for one in profiles]


def sent_to(core, part):
    return [received for received in core.requests if part in received.path]


def assert_on_time(successes, name, hours):
    """The hourly profile has a success for every due moment within ten minutes."""
    assert len(successes[name]) >= hours
    assert all(late <= timedelta(minutes=10) for late in successes[name].values())


@pytest.mark.parametrize("order", [(OWNERS, ALL), (ALL, OWNERS)], ids=ORDERS)
async def test_the_other_paths_are_collected_on_time_and_the_refused_one_comes_back(sqlite_url, order):
    async with open_core(sqlite_url, *order) as core:
        core.script(on("CA_OWNER"))
        workers = workers_of(core, *order)
        assert_on_time(await live(core, 4, workers), "all", 4)
        assert 5 <= len(sent_to(core, "CA_OWNER")) <= 11
        assert await core.store.rejection_reason(core.fetcher.radar.fingerprint) is None
        document = await status_document(core.store, core.profiles, 600, core.clock())
        (waiting,) = [row["waiting"] for row in document["profiles"] if row["name"] == "owners"]
        assert waiting["reason"] == "refused"
        assert waiting["message"].startswith(
            "HTTP 403: Authentication error, on the path /radar/ct/timeseries_groups/CA_OWNER alone"
        )
        assert document["upstream"]["state"] == "ok"
        core.simulator.clear_script()
        await live(core, 1.1, workers)
        assert any(label.startswith("owners/") for label in await core.stored())
        assert await core.store.refusals() == []


@pytest.mark.parametrize("fault", [DENIED, faults.api_error(401, 10000, "Authentication error")], ids=["403", "401"])
async def test_credentials_that_are_refused_on_every_path_stop_all_requests_until_they_are_accepted(sqlite_url, fault):
    profiles = (OWNERS, LEVELS, ALL)
    async with open_core(sqlite_url, *profiles) as core:
        workers = workers_of(core, *profiles)
        await live(core, 0.2, workers)
        sent = len(core.requests)
        core.script(fault.always())
        await live(core, 2, workers)
        refused = core.requests[sent:]
        assert 12 <= len(refused) <= 2 * 12 + 1
        at_once = 1 if fault is DENIED else 0
        assert all(later.at - earlier.at >= 5 * 60 for earlier, later in pairwise(refused[at_once:]))
        assert len({received.path for received in refused}) == 3 or fault is not DENIED
        assert "Authentication error" in await core.store.rejection_reason(core.fetcher.radar.fingerprint)
        core.simulator.clear_script()
        await live(core, 1.2, workers)
        assert not any(health.reason for worker in workers for health in worker.health.values())
        assert await core.store.refusals() == []
        assert await core.store.get_state(f"refused_paths:{core.fetcher.radar.fingerprint}") in (None, "[]")


@pytest.mark.parametrize("order", [(OWNERS, LEVELS, ALL), (ALL, LEVELS, OWNERS)], ids=ORDERS)
async def test_all_dimensions_are_refused_and_the_series_without_one_is_healthy(sqlite_url, order):
    async with open_core(sqlite_url, *order) as core:
        core.script(on("timeseries_groups"))
        workers = workers_of(core, *order)
        await live(core, 0.2, workers)  # at first, only the pause shows that another path than a dimension is accepted
        assert_on_time(await live(core, 3, workers), "all", 3)
        assert len(sent_to(core, "timeseries_groups")) <= 2 * 10


async def test_the_credentials_are_revoked_and_repaired_while_one_path_is_refused(sqlite_url):
    profiles = (OWNERS, LEVELS, ALL)
    async with open_core(sqlite_url, *profiles) as core:
        core.script(on("CA_OWNER"))
        workers = workers_of(core, *profiles)
        await live(core, 1, workers)
        core.simulator.clear_script()
        core.script(DENIED.always())
        sent = len(core.requests)
        await live(core, 1.5, workers)
        assert len(core.requests) - sent <= 1.5 * 12 + 3
        core.simulator.clear_script()
        core.script(on("CA_OWNER"))
        sent = len(core.requests)
        await live(core, 1.5, workers)
        reasons = {name: health.reason for worker in workers for name, health in worker.health.items()}
        assert {name for name, reason in reasons.items() if reason} == {"owners"}
        assert "CA_OWNER alone" in reasons["owners"]
        assert len(core.requests) - sent <= 12


@pytest.mark.parametrize("order", [(OWNERS, ALL), (ALL, OWNERS)], ids=ORDERS)
async def test_a_command_in_a_loop_learns_which_path_is_refused(store_url, order):
    async with open_core(store_url, *order) as core:
        core.script(on("CA_OWNER"))
        for number in range(60):
            core.restart()
            collected = await run_pass(core)
            assert collected.reasons["all"] is None, number
            core.clock.advance(minutes=1)
        assert len(sent_to(core, "CA_OWNER")) <= 7
        assert collected.refused == {"owners"}


async def test_a_profile_of_many_series_sends_one_request_after_each_pause_of_its_path(sqlite_url):
    values = tuple(f"Owner {number}" for number in range(40))
    owners = profile("owners", dimension="VALIDATION_LEVEL", each={"caOwner": values})
    async with open_core(sqlite_url, ALL, owners) as core:
        core.script(on("VALIDATION_LEVEL"))
        for _ in range(60):
            await run_pass(core, gaps=True)
            core.clock.advance(minutes=1)
        assert len(sent_to(core, "VALIDATION_LEVEL")) <= 7 + core.batch_runner.concurrency


async def test_a_list_of_the_catalogue_that_is_refused_stops_nothing_else(sqlite_url):
    async with open_core(sqlite_url, ALL, siblings="served") as core:
        core.script(on("/ct/logs"))
        workers = workers_of(core, ALL)
        successes = {}
        for _ in range(12):
            await refresh_due(core.fetcher)
            successes |= (await live(core, 0.25, workers)).get("all", {})
        assert_on_time({"all": successes}, "all", 3)
        assert len(sent_to(core, "/ct/logs")) <= 8
        assert {"forbidden", "ok"} <= {*await core.outcomes()} <= {"forbidden", "unauthorized", "ok", "not_found"}

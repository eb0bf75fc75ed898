"""No room for an hour, then room again: the service goes on within a minute, was never restarted, and lost nothing.

The system lets no file grow: for the service in a time that is not waited for, and for a real process, whose limit is
set and lifted while it runs.
"""

import resource
from datetime import UTC, datetime, timedelta

from tests.faults.test_outage import CONFIG, known
from tests.harness import faults
from tests.harness.processes import eventually, profile_toml
from tests.harness.virtual_time import run_in_virtual_time, running_daemon

START = datetime(2026, 3, 9, 22, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)
_FILE = 16_384


def _let_no_file_grow(limit):
    """Let this process write no file beyond *limit* bytes; gives the limit of before."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    return before[0]


def _lived(folder, *, full):
    """Live for two hours and a half, the second of them perhaps on a full disk; gives what was seen."""
    seen = {}

    async def work(loop):
        async with running_daemon(loop, folder, CONFIG) as run:
            await run.until(START + HOUR)
            if full:
                before = _let_no_file_grow(0)
                try:
                    await run.never_ready(START + HOUR * 1.3, START + HOUR * 2)
                    seen["reasons"] = await run.service.unready()
                finally:
                    _let_no_file_grow(before)
                seen["ready after"] = await run.ready(START + 2.5 * HOUR) - (START + HOUR * 2)
            await run.until(START + HOUR * 2.5)
            outcomes = [row.outcome for row in await run.store.list_fetches(limit=None)]
            assert len(outcomes) == len(run.simulator.requests)
        seen["outcomes"] = set(outcomes)

    run_in_virtual_time(START, work)
    return run_in_virtual_time(START, lambda _: known(folder)), seen


def test_after_an_hour_without_room_it_goes_on_within_a_minute(tmp_path):
    calm, _ = _lived(tmp_path / "calm", full=False)
    known_, seen = _lived(tmp_path / "full", full=True)
    assert known_ == calm
    assert any(reason.startswith("quarters: due since") for reason in seen["reasons"])
    assert seen["reasons"][-1].startswith("store: it cannot be written")
    assert seen["ready after"] <= timedelta(seconds=62)
    assert seen["outcomes"] <= {"ok", "unsaved", "refused"}


def test_a_file_that_may_not_grow_for_a_while_is_written_again_without_a_restart(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(more='lookback = "2d"'))  # one pass has more than a day, at any hour
    simulator.script(faults.too_many("1").always())  # an answer, so it is asked again and again
    with collector.running("run") as daemon:
        daemon.says("outcome=rate_limited", seconds=60)
        unlimited = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (_FILE, unlimited[1]))
        simulator.clear_script()
        daemon.says("the disk reports an error", seconds=60)
        assert collector.count("points") == 0
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, unlimited)
        eventually(lambda: collector.count("points") > 24, 90)
        assert daemon.ends() == 0
    outcomes = [outcome for (outcome,) in collector.rows("SELECT outcome FROM fetches")]
    assert len(outcomes) == len(simulator.requests)
    collector.run("db", "verify")

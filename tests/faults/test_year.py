"""The service for a year of 15-minute, hourly, daily and weekly fires, in a time that is not waited for."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.interval import AggInterval
from collector.model import Question, Window
from tests.harness.virtual_time import run_in_virtual_time, running_daemon

START = datetime(2026, 3, 1, 20, 7, tzinfo=UTC)  # a Sunday
CEILING = 60
CONFIG = f"""
[radar]
base_url = "{{url}}"
requests_per_5min = {CEILING}
""" + "".join(f'[[profiles]]\nname = "{one}"\nagg_interval = "{one}"\n' for one in AggInterval)
PAGES = 4096 / 2**20


def _resident():
    """The MiB that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGES


@pytest.mark.parametrize("days", [0.25, pytest.param(365, marks=pytest.mark.campaign)])
def test_every_bucket_is_there_and_every_due_moment_has_one_outcome(tmp_path, days):
    held, end = [], START + timedelta(days=days, minutes=-7)

    async def work(loop):
        async with running_daemon(loop, tmp_path, CONFIG, remembered_requests=1000) as run:
            asked = _counted(run.simulator)
            for part in range(1, 9):
                await run.until(START + (end - START) * part / 8)
                assert await run.service.unready() == []
                held.append(_resident())
            outcomes = Counter(row.outcome for row in await run.store.list_fetches(limit=None))
            assert outcomes.total() == asked["requests"]
            assert asked["most"] <= CEILING
            assert set(outcomes) <= {"ok", "refused"}
            for interval in AggInterval:
                await _whole(run, interval, end)

    run_in_virtual_time(START, work)
    assert max(held[2:]) - held[1] < 24, held


def _counted(simulator):
    """Count requests as they come, and the most of them in any 300 seconds."""
    found, recent = Counter(), []

    def rule(received):
        found["requests"] += 1
        recent.append(received.at)
        while recent[0] <= received.at - 300:
            recent.pop(0)
        found["most"] = max(found["most"], len(recent))

    simulator.script(rule)
    return found


async def _whole(run, interval, end):
    """Compare what is stored of an interval with the server's truth, and its fires with its edges."""
    due = interval.floor(end - timedelta(minutes=3))
    fires = [fire.due for fire in await run.store.list_fires(profile=interval.value, limit=None)]
    first = interval.floor(START - timedelta(minutes=2))
    edges = [first + interval.step * n for n in range((due - first) // interval.step + 1)]
    assert sorted(fires) == edges
    stored = {at: value async for _, label, at, value in run.store.export() if label == interval.value}
    window = Window(interval.floor(START - timedelta(days=1)), due)
    truth = run.simulator.truth(Question(interval, {}), window, end.timestamp())
    assert stored.items() >= dict(zip(truth.timestamps, truth.values, strict=True)).items()

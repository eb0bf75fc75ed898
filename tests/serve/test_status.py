from __future__ import annotations

from datetime import timedelta

import pytest

from collector.collect.attend import Attendant
from collector.model import Window
from collector.radar.simulator import Hole, faults
from collector.serve.status import status
from tests.collect.doubles import DAY, HOUR, NOW, core, many, profile


async def _row(world):
    document = await status(world.store, world.profiles, 600, world.clock())
    return document["profiles"][0]


async def _attend(world):
    await Attendant(world.profiles, world.store, world.gatherer).attend()


async def test_it_works(store_url):
    async with core(store_url, many(3)) as world:
        assert (await _row(world))["state"] == "new"
        await _attend(world)
        document = await status(world.store, world.profiles, 600, world.clock())
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
            "lag_seconds": 7 * 60,
            "gaps": 0,
            "failures": 0,
            "next_fire": HOUR.floor(NOW) + timedelta(hours=1, minutes=2),
            "state": "fresh",
        }
        assert row["points"] == 3 * 36 == document["store"]["points"]
        assert document["store"]["backend"] == world.store.backend
        assert document["budget"] == {"limit": 600, "used": 1, "window_seconds": 300, "blocked_until": None}


async def test_late_when_a_due_moment_went_by_for_two_minutes(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        await _attend(world)
        world.clock.now = HOUR.floor(NOW) + timedelta(hours=1, minutes=3, seconds=59)
        assert (await _row(world))["state"] == "fresh"
        world.clock.advance(seconds=1)
        assert (await _row(world))["state"] == "late"


async def test_failing_until_it_is_made_good(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        attendant = Attendant(world.profiles, world.store, world.gatherer)
        world.script(faults.unequal())
        await attendant.attend()
        row = await _row(world)
        assert (row["state"], row["failures"], row["last_success"]) == ("failing", 1, None)
        world.clock.advance(seconds=1)
        await attendant.attend()
        row = await _row(world)
        assert (row["state"], row["failures"]) == ("fresh", 0)


async def test_failing_while_one_of_its_series_is(sqlite_url):
    async with core(sqlite_url, many(3)) as world:
        ill = lambda got: any("Owner 1" in a.query.filters["caOwner"] for a in got.question.series)  # noqa: E731
        world.script(faults.api_error(400, 2001).always().only(ill))
        attendant = Attendant(world.profiles, world.store, world.gatherer)
        for _ in range(3):
            await attendant.attend()
            world.clock.advance(minutes=4)
            assert (await _row(world))["state"] == "failing"
        world.simulator.clear_script()
        await attendant.attend()
        assert (await _row(world))["state"] == "fresh"


async def test_gaps_are_counted_and_named(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        start = HOUR.floor(NOW) - timedelta(hours=5)
        world.simulator.change(Hole(Window(start, start + timedelta(hours=2))))
        await _attend(world)
        row = await _row(world)
        assert (row["state"], row["gaps"]) == ("gaps", 2)


async def test_a_block_shows_until_it_is_over(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        world.script(faults.too_many("3600"))
        await _attend(world)
        document = await status(world.store, world.profiles, 600, world.clock())
        assert document["budget"]["blocked_until"] == NOW + timedelta(hours=1)
        world.clock.advance(hours=2)
        document = await status(world.store, world.profiles, 600, world.clock())
        assert document["budget"]["blocked_until"] is None


@pytest.mark.parametrize(
    ("state", "fault", "seconds"),
    [("silent", faults.html(503), 60), ("unauthorized", faults.api_error(403, 10000, "Authentication error"), 300)],
)
async def test_a_radar_that_does_not_serve_shows_until_it_does(store_url, state, fault, seconds):
    async with core(store_url, profile()) as world:
        world.script(fault.always())
        for _ in range(3):
            await _attend(world)
        asked = world.requests[-1].at
        radar = (await status(world.store, world.profiles, 600, world.clock()))["upstream"]
        assert radar["state"] == state
        assert radar["reason"].startswith("HTTP ")
        assert radar["asked_again_at"].timestamp() == pytest.approx(asked + seconds)
        world.simulator.clear_script()
        world.clock.advance(minutes=6)
        await _attend(world)
        radar = (await status(world.store, world.profiles, 600, world.clock()))["upstream"]
        assert radar == {"state": "ok", "reason": None, "asked_again_at": None}

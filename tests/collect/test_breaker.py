"""A Radar that is down: asked once a minute by all profiles together, and at work again as soon as it answers."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from collector.collect.breaker import OPENS_AFTER, Breaker
from collector.collect.collect import collect
from collector.model import AggInterval
from collector.radar.errors import Unavailable
from collector.radar.simulator import faults
from tests.collect.doubles import NOW, batch, core, profile

MINUTE = timedelta(minutes=1)
DOWN = Breaker(OPENS_AFTER, NOW)
PROFILES = [profile(interval.name, interval) for interval in AggInterval]


@pytest.mark.parametrize(
    ("expected", "breaker", "now"),
    [
        (0 * MINUTE, Breaker(), NOW),
        (0 * MINUTE, Breaker(OPENS_AFTER - 1, NOW), NOW),
        (MINUTE, DOWN, NOW),
        (timedelta(seconds=1), DOWN, NOW + timedelta(seconds=59)),
        (0 * MINUTE, DOWN, NOW + MINUTE),
        (MINUTE, DOWN, NOW - timedelta(days=365)),
        (MINUTE, DOWN.unanswered(), NOW),
        (0 * MINUTE, DOWN.answered(), NOW),
        (MINUTE, DOWN.asked(NOW + MINUTE), NOW + MINUTE),
    ],
)
def test_how_long_nothing_may_be_asked(expected, breaker, now):
    assert breaker.wait(now) == expected


async def test_a_radar_that_is_down_is_asked_once_a_minute_by_all_profiles_together(sqlite_url):
    async with core(sqlite_url, *PROFILES) as world:
        world.script(faults.html(503).always())
        for _ in range(20):
            passes = (collect([one], world.clock(), world.store, world.gatherer) for one in PROFILES)
            done = await asyncio.gather(*passes)
            assert not any(one.complete for one in done)
            world.clock.advance(seconds=20)
        asked = [received.at for received in world.requests]
        assert len(asked) > OPENS_AFTER + 10
        assert all(later - earlier >= 60 for earlier, later in pairwise(asked[OPENS_AFTER + 2 :]))
        assert await world.outcomes() == ["unavailable"] * len(asked)
        world.simulator.clear_script()
        passes = (collect([one], world.clock(), world.store, world.gatherer) for one in PROFILES)
        assert all(one.complete for one in await asyncio.gather(*passes))
        assert (world.requests[len(asked)].at - asked[-1]) <= 60


async def test_one_pass_over_every_interval_does_not_ask_each_of_them_anew(sqlite_url):
    async with core(
        sqlite_url,
        *[profile(f"{one.name}{n}", one, filters={"tld": (f"x{n}",)}) for one in AggInterval for n in range(2)],
    ) as world:
        world.script(faults.html(503).always())
        collected = await collect(world.profiles, world.clock(), world.store, world.gatherer)
        assert all("503" in reason for reason in collected.reasons.values())
        assert len(world.requests) <= OPENS_AFTER


async def test_what_waited_for_the_same_probe_does_not_probe_again(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        world.script(faults.html(503).always())
        for _ in range(4):
            await asyncio.gather(world.fetcher.fetch(batch(), ["all"]), return_exceptions=True)
        asked = len(world.requests)
        many = [world.fetcher.fetch(batch(days=day), ["all"]) for day in range(1, 9)]
        found = await asyncio.gather(*many, return_exceptions=True)
        assert len(world.requests) == asked + 1
        assert sum("asked again at" in str(error) for error in found) == 7
        assert {type(error) for error in found} == {Unavailable}


async def test_a_refusal_is_an_answer(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        world.script(faults.html(503).times(OPENS_AFTER), faults.api_error(400, 2001), faults.html(503).times(3))
        for _ in range(4):
            await asyncio.gather(world.fetcher.fetch(batch(), ["all"]), return_exceptions=True)
        began = world.clock()
        assert (await world.fetcher.fetch(batch(), ["all"])).inserted == 24
        assert world.clock() - began < MINUTE

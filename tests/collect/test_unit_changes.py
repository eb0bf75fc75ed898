"""What a change of the unit upstream does to what is collected, exported and asked for."""

from datetime import timedelta

import pytest

from collector.collect.backfill import BackfillRunner
from collector.collect.one_pass import collect, collect_and_heal
from collector.model import Window
from collector.simulator import NormalizationChange
from collector.store import wanted
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, core
from tests.harness.factories import many, profile, query

SINCE = NOW.replace(hour=0, minute=0) - 9 * DAY


async def _exported(world, **options):
    """(label, timestamp, value, unit) of all that is exported."""
    return [
        (block.label, timestamp, value, block.unit)
        async for block in world.store.export_blocks(**options)
        for timestamp, value in block.points
    ]


async def _pass(world, how=collect):
    return await how(world.profiles, world.clock(), world.store, world.batch_runner)


async def _hours(world, number, how=collect):
    for _ in range(number):
        world.clock.advance(hours=1)
        assert (await _pass(world, how)).complete


async def _backfill(world):
    order = wanted([one.name for one in world.profiles], SINCE, None, world.clock(), force=False)
    job = await world.store.create_backfill(order, world.clock())
    return await BackfillRunner(world.store, world.batch_runner).run(job, world.profiles)


async def _changed(world, **change):
    world.simulator.change(NormalizationChange(since=world.clock.timestamp() + 1, **change))


async def test_a_unit_in_another_spelling_changes_nothing(store_url):
    async with core(store_url, profile(since=SINCE), many(2)) as world:
        await _pass(world, collect_and_heal)
        before, moment = await _exported(world), world.clock()
        await _changed(world, unit=" Certificates")
        await _hours(world, 3, collect_and_heal)
        after = await _exported(world)
        assert {unit for *_, unit in after} == {"certificates"}
        assert len(after) == len(before) + 3 * 3
        assert await _exported(world, as_of=moment) == before
        assert (await world.stored())["all"] == world.truth(query(), Window(SINCE, HOUR.floor(world.clock())))
        assert len(await world.store.list_series()) == 3


@pytest.mark.parametrize("change", [{"unit": "requests"}, {"unit": "%", "normalization": "PERCENTAGE"}])
async def test_after_another_unit_the_export_holds_every_bucket(store_url, change):
    async with core(store_url, profile(since=SINCE)) as world:
        await _pass(world, collect_and_heal)
        before, moment = await _exported(world), world.clock()
        await _changed(world, **change)
        await _hours(world, 1)
        assert await _exported(world) == before
        await _hours(world, 1)
        after = await _exported(world)
        assert [t for _, t, _, _ in after] == [t for _, t, _, _ in before] + [before[-1][1] + n * 3600 for n in (1, 2)]
        units = [unit for *_, unit in after]
        assert units == ["certificates"] * units.count("certificates") + [change["unit"]] * units.count(change["unit"])
        assert after[0] == before[0]
        assert after[-1][3] == change["unit"]
        assert await _exported(world, as_of=moment) == before
        assert await _exported(world, as_of=moment + timedelta(hours=1)) == before


async def test_another_unit_in_one_answer_changes_nothing_for_good(store_url):
    async with core(store_url, profile(since=SINCE)) as world:
        await _pass(world, collect_and_heal)
        world.script(faults.unit("requests"))
        await _hours(world, 1, collect_and_heal)
        assert {unit for *_, unit in await _exported(world)} == {"certificates"}
        await _hours(world, 3, collect_and_heal)
        assert (await world.stored())["all"] == world.truth(query(), Window(SINCE, HOUR.floor(world.clock())))
        assert {unit for *_, unit in await _exported(world)} == {"certificates"}
        assert await world.store.unit_changes([query()]) == []


async def test_a_unit_that_changes_and_comes_back_leaves_the_history_whole(store_url):
    async with core(store_url, profile(since=SINCE)) as world:
        await _pass(world, collect_and_heal)
        for unit in ("requests", "certificates"):
            await _changed(world, unit=unit)
            await _hours(world, 3, collect_and_heal)
        stored = (await world.stored())["all"]
        assert stored == world.truth(query(), Window(SINCE, HOUR.floor(world.clock())))


async def test_what_is_stored_in_the_old_unit_is_not_asked_again(store_url):
    async with core(store_url, profile(since=SINCE)) as world:
        await _pass(world, collect_and_heal)
        await _changed(world, unit="requests")
        await _hours(world, 2, collect_and_heal)
        seen = len(world.requests)
        standing = await _backfill(world)
        assert standing.state == "done"
        assert len(world.requests) == seen
        await _hours(world, 1, collect_and_heal)
        assert len(world.requests) == seen + 1

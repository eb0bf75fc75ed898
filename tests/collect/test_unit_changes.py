"""The effects of a changed unit on collecting, exporting and requesting."""

from datetime import timedelta

import pytest

from collector.collect.backfill import BackfillRunner
from collector.model import Window
from collector.simulator import NormalizationChange
from collector.store import backfill_request
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass
from tests.harness.factories import many, profile, query

SINCE = NOW.replace(hour=0, minute=0) - 9 * DAY


async def _exported(core, **options):
    """Return (label, timestamp, value, unit) of each exported point."""
    return [
        (block.label, timestamp, value, block.unit)
        async for block in core.store.export_blocks(**options)
        for timestamp, value in block.points
    ]


async def _hours(core, number, *, gaps=False):
    for _ in range(number):
        core.clock.advance(hours=1)
        assert (await run_pass(core, gaps=gaps)).complete


async def _backfill(core):
    order = backfill_request([profile.name for profile in core.profiles], SINCE, None, core.clock(), force=False)
    job = await core.store.create_backfill(order, core.clock())
    return await BackfillRunner(core.store, core.batch_runner).run(job, core.profiles)


async def _changed(core, **change):
    core.simulator.change(NormalizationChange(since=core.clock.timestamp() + 1, **change))


async def test_a_unit_in_another_spelling_changes_nothing(store_url):
    async with open_core(store_url, profile(since=SINCE), many(2)) as core:
        await run_pass(core, gaps=True)
        before, moment = await _exported(core), core.clock()
        await _changed(core, unit=" Certificates")
        await _hours(core, 3, gaps=True)
        after = await _exported(core)
        assert {unit for *_, unit in after} == {"certificates"}
        assert len(after) == len(before) + 3 * 3
        assert await _exported(core, as_of=moment) == before
        assert (await core.stored())["all"] == core.truth(query(), Window(SINCE, HOUR.floor(core.clock())))
        assert len(await core.store.list_series()) == 3


@pytest.mark.parametrize("change", [{"unit": "requests"}, {"unit": "%", "normalization": "PERCENTAGE"}])
async def test_after_another_unit_the_export_holds_every_bucket(store_url, change):
    async with open_core(store_url, profile(since=SINCE)) as core:
        await run_pass(core, gaps=True)
        before, moment = await _exported(core), core.clock()
        await _changed(core, **change)
        await _hours(core, 1)
        assert await _exported(core) == before
        await _hours(core, 1)
        after = await _exported(core)
        assert [t for _, t, _, _ in after] == [t for _, t, _, _ in before] + [before[-1][1] + n * 3600 for n in (1, 2)]
        units = [unit for *_, unit in after]
        assert units == ["certificates"] * units.count("certificates") + [change["unit"]] * units.count(change["unit"])
        assert after[0] == before[0]
        assert after[-1][3] == change["unit"]
        assert await _exported(core, as_of=moment) == before
        assert await _exported(core, as_of=moment + timedelta(hours=1)) == before


async def test_another_unit_in_one_answer_has_no_lasting_effect(store_url):
    async with open_core(store_url, profile(since=SINCE)) as core:
        await run_pass(core, gaps=True)
        core.script(faults.unit("requests"))
        await _hours(core, 1, gaps=True)
        assert {unit for *_, unit in await _exported(core)} == {"certificates"}
        await _hours(core, 3, gaps=True)
        assert (await core.stored())["all"] == core.truth(query(), Window(SINCE, HOUR.floor(core.clock())))
        assert {unit for *_, unit in await _exported(core)} == {"certificates"}
        assert await core.store.unit_changes([query()]) == []


async def test_a_unit_that_changes_and_returns_leaves_the_history_complete(store_url):
    async with open_core(store_url, profile(since=SINCE)) as core:
        await run_pass(core, gaps=True)
        for unit in ("requests", "certificates"):
            await _changed(core, unit=unit)
            await _hours(core, 3, gaps=True)
        stored = (await core.stored())["all"]
        assert stored == core.truth(query(), Window(SINCE, HOUR.floor(core.clock())))


async def test_buckets_stored_in_the_old_unit_are_not_requested_again(store_url):
    async with open_core(store_url, profile(since=SINCE)) as core:
        await run_pass(core, gaps=True)
        await _changed(core, unit="requests")
        await _hours(core, 2, gaps=True)
        seen = len(core.requests)
        standing = await _backfill(core)
        assert standing.state == "done"
        assert len(core.requests) == seen
        await _hours(core, 1, gaps=True)
        assert len(core.requests) == seen + 1

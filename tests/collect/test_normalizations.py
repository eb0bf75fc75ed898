"""An unknown normalization is judged by two answers, then treated like counts or like relative values."""

import json
from datetime import timedelta

import pytest

from collector.collect.backfill import BackfillRunner
from collector.collect.confirm import confirm
from collector.model import Window
from collector.report.status import status_document
from collector.store import backfill_request
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass
from tests.harness.factories import many, profile, query

SINCE = NOW.replace(hour=0, minute=0) - 40 * DAY


def _scaled(word):
    """Answer under *word* with values that are scaled by the largest of each series."""

    def change(document):
        document["result"]["meta"]["normalization"] = word
        for name, series in document["result"].items():
            if name != "meta" and series["values"]:
                largest = max(map(float, series["values"])) or 1
                series["values"] = [f"{float(value) / largest:.6f}" for value in series["values"]]

    return faults.edit("scaled", change).always()


async def _pass(core):
    core.restart()
    return await run_pass(core, gaps=True)


async def _backfill(core, start=SINCE):
    names = [profile.name for profile in core.profiles]
    job = await core.store.create_backfill(
        backfill_request(names, start, None, core.clock(), force=False), core.clock()
    )
    return await BackfillRunner(core.store, core.batch_runner).run(job, core.profiles)


@pytest.mark.parametrize("profiles", [[profile(since=SINCE)], [many(3, since=SINCE)]], ids=["one", "three"])
async def test_an_unknown_word_for_counts_makes_one_history(store_url, profiles):
    async with open_core(store_url, *profiles, normalization="COUNT", lag=timedelta(minutes=45)) as core:
        assert (await _pass(core)).complete
        [first] = [fetch for fetch in await core.store.list_fetches() if fetch.outcome == "relative"]
        judging = [fetch for fetch in await core.store.list_fetches() if "(normalization)" in fetch.profiles]
        assert (first.normalization, len(judging)) == (None, 2)
        core.clock.advance(hours=1)
        assert (await _pass(core)).complete
        assert len([fetch for fetch in await core.store.list_fetches() if fetch.outcome == "relative"]) == 1
        for series in profiles[0].series:
            truth = core.truth(series.query, Window(SINCE, HOUR.floor(NOW)))
            stored = (await core.stored())[series.label]
            assert {at: stored.get(at) for at in truth} == truth
        document = await status_document(core.store, core.profiles, 600, core.clock())
        assert document["profiles"][0]["state"] == "fresh"
        [warning] = document["warnings"]
        assert "'COUNT' is not known" in warning
        assert "one history" in warning
        assert (await _backfill(core)).state == "done"


async def test_an_unknown_word_for_scaled_values_counts_as_relative_and_is_reported(sqlite_url):
    async with open_core(sqlite_url, profile(since=SINCE)) as core:
        core.script(_scaled("INDEXED"))
        assert (await _pass(core)).complete
        core.clock.advance(hours=1)
        assert (await _pass(core)).complete
        judging = [fetch for fetch in await core.store.list_fetches() if "(normalization)" in fetch.profiles]
        assert len(judging) == 2
        document = await status_document(core.store, core.profiles, 600, core.clock())
        assert document["profiles"][0]["state"] == "relative"
        assert "differ, so each answer stands alone" in document["warnings"][0]
        standing = await _backfill(core)
        assert standing.state == "done"  # with a message, for which the command exits with 1
        assert "make no history" in standing.message


async def test_zeros_do_not_decide_about_an_unknown_word(sqlite_url):
    async with open_core(sqlite_url, profile(since=SINCE), normalization="COUNT", data_since=NOW - 10 * DAY) as core:
        assert (await _pass(core)).complete
        [verdict] = await core.store.normalizations()
        assert verdict.verdict == "undecided"
        assert (await core.store.relative_queries([query()])) == {query()}
        requests = len(core.requests)
        core.clock.advance(hours=1)
        assert (await _pass(core)).complete
        assert len(core.requests) == requests + 1  # not judged again within a day
        core.clock.advance(days=20)
        for _ in range(2):
            assert (await _pass(core)).complete
        assert (await core.store.relative_queries([query()])) == set()
        assert not json.loads((await core.store.normalizations())[0].dump())["differing"]


@pytest.mark.parametrize("word", ["COUNT", "PERCENTAGE"])
async def test_values_that_need_not_add_up_are_confirmed_by_a_second_reading(sqlite_url, word):
    async with open_core(sqlite_url, profile(since=SINCE), normalization=word) as core:
        assert (await _pass(core)).complete
        core.clock.advance(hours=2)
        assert (await _pass(core)).complete
        before = len(core.requests)
        await confirm(core.profiles, core.clock(), core.store, core.batch_runner)
        assert {
            series.query.agg_interval for received in core.requests[before:] for series in received.request.series
        } == {HOUR}
        assert await core.store.unconfirmed(core.profiles) == {"all": 0}
        sent = len(core.requests)
        await confirm(core.profiles, core.clock(), core.store, core.batch_runner)
        assert len(core.requests) == sent

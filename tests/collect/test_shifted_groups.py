"""An answer whose groups have each other's certificates, so that their sum is right: it is noticed all the same."""

from datetime import timedelta

from collector.collect.confirm import confirm
from collector.model import Window
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass
from tests.harness.factories import NOW as FIRST_SAVED
from tests.harness.factories import profile, query, rows
from tests.harness.groups import QUESTION, each, save

FIRST, SECOND = "Internet Security Research Group", "DigiCert, Inc."
MIDNIGHT = NOW.replace(hour=0, minute=0)
SETTLE = timedelta(days=2)
OWNERS = profile("owners", dimension="CA_OWNER", since=MIDNIGHT - 9 * DAY, settle=SETTLE)
WHOLE = Window(OWNERS.since, HOUR.floor(NOW))
SHIFTED = 24 * 3 + 5
"""The place of a bucket four days after `since`, past settle."""


def shifted(document):
    """Move 100 certificates of one bucket from one group to another."""
    groups = document["result"]["serie_0"]
    for name, more in ((FIRST, -100), (SECOND, 100)):
        groups[name][SHIFTED] = str(int(groups[name][SHIFTED]) + more)


async def groups_are_right(core):
    stored = await core.stored()
    return all(stored[f"owners/{name}"] == core.truth(query(caOwner=name), WHOLE) for name in (FIRST, SECOND))


async def test_history_that_one_answer_has_shown_is_compared_with_the_days_of_each_group(store_url):
    async with open_core(store_url, OWNERS) as core:
        core.script(faults.edit("shifted", shifted).only(lambda asked: "timeseries_groups" in asked.path))
        assert (await run_pass(core, gaps=True)).complete
        assert not await groups_are_right(core)
        core.clock.advance(hours=2)
        before = len(core.requests)
        await confirm(core.profiles, core.clock(), core.store, core.batch_runner)
        assert len(core.requests) - before == 2  # the daily values, and the one day again
        assert await groups_are_right(core)


async def test_groups_that_are_right_cost_one_request(sqlite_url):
    async with open_core(sqlite_url, OWNERS, most_groups=10, more_values={"caOwner": 20}) as core:
        await run_pass(core, gaps=True)
        core.clock.advance(hours=2)
        before = len(core.requests)
        await confirm(core.profiles, core.clock(), core.store, core.batch_runner)
        assert len(core.requests) - before == 1


async def test_a_shift_past_settle_is_read_again_though_the_sum_is_the_same(store):
    later = FIRST_SAVED + 30 * DAY
    await save(store, FIRST_SAVED, A=each(0), B=each(0, value=20))
    await save(store, later, A=each(0), B=each(0, value=20))
    assert {row.changed_at for row in await evidence(store)} == {None}
    await save(store, later + DAY, A={**each(0), 2: 15}, B={**each(0, value=20), 2: 15})
    (doubtful,) = [row for row in await evidence(store) if row.changed_at is not None]
    assert (doubtful.end - doubtful.start, doubtful.confirmed) == (3600, False)
    assert await rows(store, "SELECT count(*) FROM revisions") == [(2,)]


async def evidence(store):
    return (await store.series_states([QUESTION]))[QUESTION].evidence

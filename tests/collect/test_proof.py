"""The groups of a dimension against the total from another answer: proven, differing, or not comparable."""

from datetime import datetime, timedelta

import pytest

from collector.collect.proof import prove
from collector.interval import AggInterval
from collector.model import Slice, Window
from collector.report.proof import list_proof
from collector.report.status import status_document
from collector.simulator import WrongGroups
from collector.store.admin.verify import verify
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass
from tests.harness.factories import profile, rows

SINCE = datetime.fromisoformat("2026-03-06T00:00:00+00:00")
SETTLE = timedelta(days=2)
FINAL = HOUR.floor(NOW) - SETTLE
HOURS = timedelta(hours=1)
LIE = WrongGroups(SINCE + DAY, SINCE + DAY + 2 * HOURS, 1000)


def owners(name="owners", **changes):
    return profile(name, **{"dimension": "CA_OWNER", "since": SINCE, "settle": SETTLE, **changes})


def total(name="all", **changes):
    return profile(name, **{"since": SINCE, "settle": SETTLE, **changes})


async def keep_up(core, *, gaps=False, requests=0):
    """One pass, and the upkeep after it, which sends *requests*. Returns the rows, shortened."""
    assert (await run_pass(core, gaps=gaps)).complete
    proved = await prove(core.profiles, core.clock(), core.store, core.batch_runner)
    assert proved.requests == requests
    return await proof(core)


async def proof(core, *names):
    chosen = [each for each in core.profiles if not names or each.name in names]
    return [
        (row.start, row.end, row.state, row.reason if row.difference is None else row.difference)
        for row in await list_proof(core.store, chosen)
    ]


async def counts(core):
    document = await status_document(core.store, core.profiles, 600, core.clock())
    return document["profiles"][0]["proof"], document["warnings"]


async def test_it_works(store_url):
    fine = {"more_values": {"caOwner": 28}, "most_groups": 10}
    async with open_core(store_url, owners(), total(), **fine) as core:
        newest = HOUR.floor(NOW)
        assert await keep_up(core, gaps=True) == [
            (SINCE, FINAL, "proven", None),
            (FINAL, newest, "not_comparable", "young"),
        ]
        for _ in range(2):
            core.clock.advance(hours=12)
            shown = await keep_up(core)
        assert shown[0] == (SINCE, FINAL + DAY, "proven", None)
        assert await rows(core.store, "SELECT count(*) FROM proofs") == [(1,)]
        proven = int((FINAL + DAY - SINCE) / HOURS)
        assert await counts(core) == ({"proven": proven, "differing": 0, "not_comparable": 48}, [])
    assert verify(store_url).findings == []


async def test_groups_that_lie_are_shown_read_again_once_and_proven_when_they_are_right(store_url):
    async with open_core(store_url, owners(), total(), wrong_groups=LIE) as core:
        differing = (LIE.start, LIE.end, "differing", 1000)
        assert (await keep_up(core, gaps=True))[1] == differing
        numbers, warnings = await counts(core)
        assert numbers["differing"] == 2
        assert "owners: the groups do not add up to the total in 2 buckets" in warnings[0]
        for requests in (2, 0):  # both are read again, and that is that
            core.clock.advance(hours=1)
            assert (await keep_up(core, requests=requests))[1] == differing
        stored = await rows(core.store, "SELECT count(*) FROM revisions")
        assert stored == [(0,)]  # nothing is adjusted
    assert verify(store_url).findings == []


async def test_a_second_reading_that_is_right_proves_them(sqlite_url):
    async with open_core(sqlite_url, owners(), total(), wrong_groups=LIE) as core:
        await keep_up(core, gaps=True)
        core.simulator.switch(wrong_groups=None)
        core.clock.advance(hours=1)
        changed = (LIE.start, LIE.end, "not_comparable", "changed")
        assert (await keep_up(core, requests=2))[1] == changed
        core.clock.advance(hours=1)
        assert (await keep_up(core))[1] == changed
        core.clock.advance(hours=26)
        first, *rest = await keep_up(core)
        assert (first[0], first[2]) == (SINCE, "proven")
        assert {reason for *_, reason in rest} == {"young"}
    assert verify(sqlite_url).findings == []


OTHERS = {
    "filters": (owners(), total(filters={"duration": ("GT_200D",)}), "no_total"),
    "interval": (owners(), total(agg_interval=AggInterval.ONE_DAY), "no_total"),
    "overlap": (owners(dimension="TLD"), total(), "overlap"),
    "distinct": (
        owners(dimension="LOG", filters={"uniqueEntries": ("true",)}),
        total(filters={"uniqueEntries": ("true",)}),
        "overlap",
    ),
    "percentage": (owners(normalization="PERCENTAGE"), total(), "percentage"),
}


@pytest.mark.parametrize("case", OTHERS)
async def test_what_is_no_total_of_the_same_is_not_used(sqlite_url, case):
    groups, other, reason = OTHERS[case]
    async with open_core(sqlite_url, groups, other) as core:
        assert await keep_up(core, gaps=True) == [(SINCE, HOUR.floor(NOW), "not_comparable", reason)]


async def test_a_revision_after_the_proof_takes_it_back_until_the_value_is_final_again(sqlite_url):
    async with open_core(sqlite_url, owners(), total()) as core:
        await keep_up(core, gaps=True)
        core.simulator.switch(wrong_groups=LIE)
        asked = Slice(core.profiles[0].series[0].query, Window(SINCE, SINCE + 2 * DAY))
        await core.batch_runner.run([asked], {asked.series: ["owners"]})
        changed = (LIE.start, LIE.end, "not_comparable", "changed")
        assert (await proof(core))[1] == changed
        assert (await keep_up(core))[1] == changed
        core.simulator.switch(wrong_groups=None)
        core.clock.advance(hours=1)
        assert (await keep_up(core))[1] == changed
        core.clock.advance(hours=26)
        assert (await keep_up(core))[0][2] == "proven"
        assert (await counts(core))[0]["differing"] == 0

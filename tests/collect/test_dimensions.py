"""Profiles with a dimension against a simulated Radar: a series for each group, and what answers leave beside them."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from collector.analysis.words import Words
from collector.model import Window
from collector.report.analysis.stats import answer_stats
from collector.report.gaps import find_gaps
from collector.simulator import Life, WrongGroups
from collector.store import PointQuery
from collector.timestamps import from_epoch
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass
from tests.harness.factories import profile, query, rows

SINCE = datetime.fromisoformat("2026-03-01T00:00:00+00:00")
EVER = Window(from_epoch(0), NOW + 9 * DAY)
WHOLE = Window(SINCE, HOUR.floor(NOW))
OWNERS = {"more_values": {"caOwner": 28}}


def owners(**changes):
    return profile("owners", dimension="CA_OWNER", **{"since": SINCE, **changes})


def grouped(labels, name="owners"):
    return {label.removeprefix(f"{name}/"): points for label, points in labels.items() if label.startswith(f"{name}/")}


async def remainders(core):
    """What is left in each bucket by the newest answer: (timestamp, Remainder), ascending."""
    return [*(await core.store.remainders(core.profiles[0].series[0].query, EVER)).items()]


async def unlisted(core, moment):
    """The true sum of the groups that are not stored in a bucket."""
    groups = grouped(await core.stored())
    window = Window(from_epoch(moment), from_epoch(moment + 3600))
    (total,) = core.truth(query(), window).values()
    return total - sum(points.get(moment, 0) for points in groups.values())


async def test_it_works(store_url):
    async with open_core(store_url, owners(), profile(since=SINCE), **OWNERS) as core:
        collected = await run_pass(core, gaps=True)
        assert collected.complete
        stored = await core.stored()
        groups = grouped(stored)
        assert len(groups) == 40
        for name, points in groups.items():
            assert points == core.truth(query(caOwner=name), WHOLE)
        for moment, total in stored["all"].items():
            assert sum(points.get(moment, 0) for points in groups.values()) == total
        assert "owners" not in stored
        assert len(core.requests) <= 3


async def test_as_many_groups_are_asked_for_as_the_api_gives_and_absent_ones_stay_unknown(store_url):
    async with open_core(store_url, owners(), **OWNERS, most_groups=10) as core:
        await run_pass(core, gaps=True)
        first = len(core.requests)
        groups = grouped(await core.stored())
        assert len(groups) == 10
        assert all(points == core.truth(query(caOwner=name), WHOLE) for name, points in groups.items())
        core.restart()
        core.clock.advance(hours=1)
        await run_pass(core)
        assert len(core.requests) == first + 1  # the limit is remembered
        assert "limitPerGroup=10&" in core.requests[-1].raw_query
        moment, left = (await remainders(core))[-1]
        assert left.other == await unlisted(core, moment)


async def test_a_group_that_another_windows_top_lacks_is_neither_vanished_nor_revised(store_url):
    lives = {"Amazon Trust Services": Life(start=NOW + DAY)}  # which the last days have among their ten largest
    async with open_core(store_url, owners(since=None), **OWNERS, most_groups=10, lives=lives) as core:
        await run_pass(core, gaps=True)
        before = grouped(await core.stored())
        core.clock.advance(hours=30)
        await run_pass(core)
        after = grouped(await core.stored())
        assert {*after} - {*before} == {"Amazon Trust Services"}
        (left_out,) = [name for name in before if max(after[name]) == max(before[name])]
        assert max(after[left_out]) > min(after["Amazon Trust Services"])
        assert {
            name: {t: v for t, v in after[name].items() if t in points} for name, points in before.items()
        } == before
        assert await rows(core.store, "SELECT count(*) FROM vanished") == [(0,)]
        assert await rows(core.store, "SELECT count(*) FROM revisions") == [(0,)]
        chosen = PointQuery(profiles=("owners",))
        totals = await core.store.with_read_view(lambda view: answer_stats(view, chosen, Words()))
        for row in totals:
            name, window = row["series"].removeprefix("owners/"), Window(row["start"], row["end"])
            assert row["total"] <= sum(core.truth(query(caOwner=name), window).values()) <= row["at_most"]
        assert [row["series"] for row in totals if row["total"] < row["at_most"]] == [f"owners/{left_out}"]


async def test_a_new_owner_is_followed_from_its_first_bucket_and_a_gone_one_is_closed(store_url):
    born = datetime.fromisoformat("2026-03-08T00:00:00+00:00")
    lives = {"SwissSign AG": Life(end=datetime(2026, 2, 3, tzinfo=UTC)), "SSL Corporation": Life(start=born)}
    year = owners(since=datetime.fromisoformat("2026-01-20T00:00:00+00:00"))
    async with open_core(store_url, year, lives=lives) as core:
        await run_pass(core, gaps=True)
        groups = grouped(await core.stored())
        assert min(t for t, value in groups["SSL Corporation"].items() if value) == born.timestamp()
        states = {row.group: row.group_state for row in await core.store.list_series()}
        assert states.pop("SwissSign AG") == "closed"
        assert {*states.values()} == {"open"}
        gaps = await find_gaps(core.store, core.profiles, core.clock())
        assert not gaps
        core.simulator.switch(lives={})
        core.clock.advance(hours=1)
        await run_pass(core)
        assert {row.group_state for row in await core.store.list_series()} == {"open"}


@pytest.mark.parametrize("positional", ["all", "first", "refuse"])
async def test_positions_of_each_are_one_request_or_are_asked_for_one_by_one(sqlite_url, positional):
    lifetimes = {"duration": ("GT_47D_LTE_100D", "GT_200D", "GT_3D_LTE_7D")}
    async with open_core(sqlite_url, owners(each=lifetimes), positional_groups=positional) as core:
        assert (await run_pass(core, gaps=True)).complete
        stored = await core.stored()
        assert len(grouped(stored)) == 36
        expected = core.truth(query(caOwner="SwissSign AG", duration="GT_200D"), WHOLE)
        assert stored["owners/GT_200D/SwissSign AG"] == expected
        core.restart()
        seen = len(core.requests)
        core.clock.advance(hours=1)
        assert (await run_pass(core)).complete
        assert len(core.requests) - seen == (1 if positional == "all" else 3)


async def test_percentages_and_other_spellings_are_read(sqlite_url):
    lengths = profile("lengths", dimension="DURATION", since=SINCE, normalization="PERCENTAGE")
    raw = profile("raw", dimension="DURATION", since=SINCE)
    async with open_core(sqlite_url, lengths, raw, group_keys="other") as core:
        assert (await run_pass(core, gaps=True)).complete
        stored = await core.stored()
        assert len(grouped(stored, "lengths")) == len(grouped(stored, "raw")) == 7
        whole = core.truth(query(), WHOLE)
        for moment, share in stored["lengths/GT_200D"].items():
            assert share == pytest.approx(100 * stored["raw/GT_200D"][moment] / whole[moment], rel=1e-5)


@pytest.mark.parametrize("other", [True, False])
async def test_fewer_groups_than_were_asked_for_without_a_word(sqlite_url, other):
    silent = {"most_groups": 10, "too_many_groups": "fewer", "other_group": other}
    async with open_core(sqlite_url, owners(), **OWNERS, **silent) as core:
        assert (await run_pass(core, gaps=True)).complete
        assert len(grouped(await core.stored())) == 10
        assert bool(await remainders(core)) == other


async def test_a_star_stands_for_the_known_groups_and_grows_with_them(sqlite_url):
    starred = profile("alone", each={"caOwner": ("*",)}, filters={"duration": ("GT_200D",)})
    lives = {"Amazon Trust Services": Life(start=NOW + DAY)}
    async with open_core(sqlite_url, starred, owners(), lives=lives) as core:
        assert (await run_pass(core, gaps=True)).complete
        assert grouped(await core.stored(), "alone") == {}
        await core.store.activate_labels(core.profiles, core.clock())
        await run_pass(core)
        assert len(grouped(await core.stored(), "alone")) == 11
        core.clock.advance(days=2)
        await run_pass(core)
        await core.store.activate_labels(core.profiles, core.clock())
        await run_pass(core)
        assert len(grouped(await core.stored(), "alone")) == 12


async def test_groups_that_do_not_add_up_are_stored_as_they_come(sqlite_url):
    wrong = WrongGroups(NOW - 5 * DAY, NOW - 5 * DAY + timedelta(hours=3), 1000)
    async with open_core(sqlite_url, owners(), wrong_groups=wrong) as core:
        await run_pass(core, gaps=True)
        sums = "SELECT p.timestamp, p.value FROM points p JOIN series s ON s.id = p.series_id WHERE s.\"group\" = ''"
        differing = {t: v for t, v in await rows(core.store, sums) if v != core.truth(query(), WHOLE)[t]}
        assert len(differing) == 3
        assert differing == {t: core.truth(query(), WHOLE)[t] + 1000 for t in differing}


def too_many(most):
    """A rule: a larger number of groups is rejected without a word about it."""

    def rule(received):
        number = parse_qs(received.raw_query).get("limitPerGroup", ["0"])[0]
        return faults.api_error(400, 2001) if int(number) > most else None

    return rule


@pytest.mark.parametrize("is_named", [True, False])
async def test_the_limits_of_groups_and_of_sizes_are_told_apart(sqlite_url, is_named):
    limits = {"max_span": {HOUR: 5 * DAY}, "series_per_request": 1, "most_groups": 20 if is_named else None}
    async with open_core(sqlite_url, owners(), more_values={"caOwner": 28}, **limits) as core:
        core.script(*[] if is_named else [too_many(20)])
        assert (await run_pass(core, gaps=True)).complete
        groups = grouped(await core.stored())
        assert groups["GlobalSign nv-sa"] == core.truth(query(caOwner="GlobalSign nv-sa"), WHOLE)
        assert len(core.requests) < 40
        core.restart()
        core.clock.advance(hours=1)
        seen = len(core.requests)
        assert (await run_pass(core)).complete
        assert [request.status for request in core.requests[seen:]] == [200]

"""The preset of the whole ecosystem for a day against each switch of the simulator: what is not known of Radar.

Every value is right, or unknown within a bound that is right; what cannot be is shown as such.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from collector.interval import AggInterval
from collector.model import Question, Window
from collector.report.gaps import find_gaps
from collector.report.proof import list_proof
from collector.simulator import CatalogueOptions, Life, WrongGroups
from collector.simulator.siblings import spelt_otherwise
from collector.timestamps import rfc3339
from tests.harness import ecosystem
from tests.harness.virtual_time import run_in_virtual_time, running_daemon

START = datetime(2026, 3, 1, 22, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
END = START + 26 * HOUR
SINCE = datetime(2026, 2, 13, tzinfo=UTC)
CONFIG = '[radar]\nbase_url = "{url}"\n' + ecosystem.preset(SINCE)
LISTS = CatalogueOptions(owners=107, logs=40)
WORLD = {
    "lag": timedelta(minutes=45),
    "series_per_request": 20,
    "max_span": dict.fromkeys(AggInterval, timedelta(days=7)),
    "more_values": {"caOwner": 95, "log": 30, "tld": 32},
    "catalogue": LISTS,
}
MOST_AN_HOUR = 15
EXCLUSIVE = ("by-owner", "by-log", "by-operator")


@dataclass(frozen=True)
class Switch:
    """Options of the simulator, and what they bring.

    *is_whole*: the answers list all groups. *spelt*: the spelling of groups. *proven* are those of EXCLUSIVE of which
    buckets are proven, *differing* those of which some are not. *is_told*: an answer tells whether it lists all groups.
    """

    options: dict = field(default_factory=dict)
    is_whole: bool = True
    spelt: object = str
    proven: frozenset = frozenset(EXCLUSIVE)
    differing: frozenset = frozenset()
    is_told: bool = True


def _at_most(most, how, other=True, **states):  # noqa: FBT002 - whether what is left is told
    return Switch({"most_groups": most, "too_many_groups": how, "other_group": other}, is_whole=False, **states)


def _lists(**options):
    return Switch({"catalogue": CatalogueOptions(owners=107, logs=40, **options)})


COMING = {
    "ca_owner 003": Life(start=datetime(2026, 3, 2, tzinfo=UTC)),
    "ca_owner 004": Life(start=datetime(2026, 2, 20, tzinfo=UTC), end=datetime(2026, 2, 24, tzinfo=UTC)),
    "log 000": Life(end=datetime(2026, 3, 2, tzinfo=UTC)),
}
LIE = WrongGroups(SINCE + 12 * HOUR, SINCE + 15 * HOUR, 1000)
FEW, MANY = frozenset({"by-operator"}), frozenset({"by-owner", "by-log"})
"""Dimensions of at most ten groups, and of more."""
SWITCHES = {
    "as usual": Switch(),
    "groups spelt otherwise": Switch({"group_keys": "other"}, spelt=spelt_otherwise),
    "at most 10 groups, more are refused": _at_most(10, "refuse"),
    "at most 50 groups, more are refused": _at_most(50, "refuse"),
    "at most 100 groups, more are refused": _at_most(100, "refuse"),
    "at most 10 groups, more are cut": _at_most(10, "fewer"),
    "at most 50 groups, more are cut": _at_most(50, "fewer"),
    "at most 100 groups, more are cut": _at_most(100, "fewer"),
    "without `other`": Switch({"other_group": False}),
    "at most 10 groups, more are refused, without `other`": _at_most(10, "refuse", other=False, proven=FEW),
    "at most 10 groups, more are cut, without `other`": _at_most(
        10, "fewer", other=False, proven=FEW, differing=MANY, is_told=False
    ),
    "percentages": Switch({"group_normalization": "PERCENTAGE"}, proven=frozenset()),
    "only the first position has groups": Switch({"positional_groups": "first"}),
    "positions with groups are refused": Switch({"positional_groups": "refuse"}),
    "groups come and go": Switch({"lives": COMING}),
    "sums that do not match": Switch({"wrong_groups": LIE}, differing=frozenset(EXCLUSIVE)),
    "lists of 5 a page, longer ones are cut": _lists(page_limit=5),
    "lists of 50 a page, longer ones are cut": _lists(page_limit=50),
    "lists of 100 a page, longer ones are cut": _lists(page_limit=100),
    "lists of 5 a page, longer ones are refused": _lists(page_limit=5, over_limit="reject"),
    "lists of 50 a page, longer ones are refused": _lists(page_limit=50, over_limit="reject"),
    "lists of 100 a page, longer ones are refused": _lists(page_limit=100, over_limit="reject"),
    "unknown slugs": _lists(hidden=("digicert-nessie2026", "google-argon2026h1")),
}


@pytest.mark.campaign
@pytest.mark.parametrize("name", SWITCHES)
def test_a_day_of_the_whole_ecosystem_is_right_whatever_radar_does(tmp_path, name):
    switch = SWITCHES[name]

    async def work(loop):
        world = {**WORLD, **switch.options}
        async with running_daemon(loop, tmp_path, CONFIG, with_catalogue=True, **world) as run:
            await run.until(START + 2 * HOUR)  # the past is there, and the limits are learned
            settled = len(run.simulator.requests)
            await run.until(END)
            an_hour = (len(run.simulator.requests) - settled) / 24
            print(f"| {name} | {settled} | {an_hour:.1f} |")  # noqa: T201 - figures for the record
            assert await run.service.unready() == []
            await _is_right(run, switch)
            assert an_hour <= MOST_AN_HOUR

    run_in_virtual_time(START, work)


async def _is_right(run, switch):
    profiles, now = run.service.profiles, run.loop.now()
    stored = ecosystem.by_label([row async for row in run.store.export()])
    window = Window(SINCE, AggInterval.ONE_HOUR.floor(now - HOUR))
    truth = ecosystem.Truth(run.simulator, profiles, switch.spelt)
    if switch.options.get("group_normalization"):
        truth = ecosystem.Truth(run.simulator, [profile for profile in profiles if not profile.dimension])
        stored = _without_shares(run, stored, [profile for profile in profiles if profile.dimension], window)
    wrong = truth.problems(stored, window, now.timestamp(), is_whole=switch.is_whole)
    if switch.options.get("wrong_groups"):
        shown = {(sentence.partition("/")[0], sentence.partition(": ")[2]) for sentence in wrong}
        lie = f"wrong 3 values, the first at {rfc3339(LIE.start)}"
        assert shown == {(profile.name, lie) for profile in profiles if profile.dimension}
    else:
        assert wrong == []
    if switch.is_told:
        await _unknown_is_bounded(run, truth, stored, window)
    assert await find_gaps(run.store, profiles, now) == []
    rows = await list_proof(run.store, profiles)
    assert {row.profile for row in rows if row.state == "proven"} == switch.proven
    assert {row.profile for row in rows if row.state == "differing"} == switch.differing


def _without_shares(run, stored, profiles, window):
    """Return what is *stored* without the groups of *profiles*, which must be their shares of the whole."""
    shares = ecosystem.Truth(run.simulator, profiles)
    whole = shares.values(Question(AggInterval.ONE_HOUR, {}), window.start, run.loop.now().timestamp())
    rest = dict(stored)
    for profile in profiles:
        for label, question in shares.questions(profile):
            right = shares.values(question, window.start, run.loop.now().timestamp())
            points = rest.pop(label)
            assert {t for t in right if window.start.timestamp() <= t < window.end.timestamp()} <= points.keys(), label
            assert points == pytest.approx({t: 100 * right[t] / whole[t] for t in points}, abs=1e-4), label
    return rest


async def _unknown_is_bounded(run, truth, stored, window):
    """Where a group has no value it has nothing, or what is left in the bucket is a bound."""
    first, last = window.start.timestamp(), window.end.timestamp()
    for profile in truth.profiles:
        if not profile.dimension:
            continue
        (series,) = profile.series
        left = await run.store.remainders(series.query, window)
        for label, question in truth.questions(profile):
            points = stored.get(label, {})
            for timestamp, value in truth.values(question, window.start, run.loop.now().timestamp()).items():
                if first <= timestamp < last and timestamp not in points:
                    assert value <= (left[timestamp].most if timestamp in left else 0), (label, timestamp)

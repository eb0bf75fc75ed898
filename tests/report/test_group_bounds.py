"""What answers say of groups that are not listed everywhere: nothing, or a bound; on both databases."""

import pytest

from collector.analysis import columns
from collector.analysis.columns import Column
from collector.analysis.words import make_words
from collector.report.analysis.absent import absent_rows
from collector.report.analysis.points import answer_points
from collector.report.analysis.stats import answer_stats
from collector.report.analysis.top import answer_top
from collector.store import PointQuery, Store
from tests.harness.factories import HOUR, NOW, at, hours
from tests.harness.groups import LATER, OWNERS, QUESTION, each, save

HOURS = hours(0, 4)


@pytest.fixture
async def store(store_url):
    """A store in which B has no point in two hours: 1 is unknown, because something is left, and 2 is zero.

    An hour later it is certain that B had nothing in hour 1.
    """
    async with Store.open(store_url, owner="test") as opened:
        await opened.activate_labels([OWNERS], NOW)
        await save(opened, left={1: 3}, A=each(0), B={0: 5, 3: 5})
        await save(opened, LATER, A=each(0), B={0: 5, 3: 5})
        yield opened


async def ask(store, answer, as_of=NOW, **words):
    chosen = PointQuery(profiles=("owners",), start=HOURS.start, end=HOURS.end, as_of=as_of)
    return await store.with_read_view(lambda view: answer(view, chosen, make_words(words, NOW)))


async def cells(store, label, **words):
    def read(view, chosen, asked):
        answer = answer_points(view, chosen, asked)
        (line,) = [line for _, line in answer.lines() if line.label == label]
        return {name: [*line.cells[name]] for name in answer.columns}

    return await ask(store, read, **words)


async def test_a_bucket_that_is_not_listed_is_zero_or_unknown(store):
    by_hour = await cells(store, "owners/B", per="hour", share=True, rank=True)
    assert by_hour["value"] == [5, None, 0, 5]
    assert by_hour["at_most"] == [5, 1, 0, 5]
    assert by_hour["known"] == [1, 0, 1, 1]
    assert by_hour["share"] == [100 / 3, None, 0, 100 / 3]
    assert by_hour["rank"] == [2, 2, 2, 2]
    assert by_hour["reason"] == [None, "share: 0 of 1 buckets, 1 unknown", None, None]
    later = await cells(store, "owners/B", per="hour", as_of=None)
    assert later["value"] == later["at_most"] == [5, 0, 0, 5]


async def test_totals_have_bounds_and_shares_are_of_the_sum_of_the_question(store):
    a, b = await ask(store, answer_stats)
    assert (a["total"], a["at_most"], a["share"], a["rank"]) == (40, 40, 100 * 40 / 53, 1)
    assert (b["total"], b["at_most"], b["known"], b["expected"], b["share"], b["rank"]) == (10, 11, 3, 4, None, 2)
    assert b["reason"].endswith("share: owners/B has 3 of 4 buckets, 1 unknown")
    first, rest = await ask(store, answer_top, top=1)
    assert (first["series"], first["total"], first["at_most"]) == ("owners/A", 40, 40)
    assert (rest["series"], rest["total"], rest["at_most"], rest["share"]) == ("rest", 13, 13, 100 * 13 / 53)
    rest = await cells(store, "rest", per="hour", top=1, share=True)
    assert rest["value"] == [5, 3, 0, 5]


async def test_a_value_that_has_vanished_does_not_count(store):
    await save(store, LATER + HOUR, A=each(0), B={0: 5})
    assert (await cells(store, "owners/B", per="hour", as_of=LATER + HOUR / 2))["value"] == [5, 0, 0, 5]
    by_hour = await cells(store, "owners/B", per="hour", as_of=None, share=True)
    assert (by_hour["value"], by_hour["at_most"]) == ([5, 0, 0, 0], [5, 0, 0, 0])
    a, b = await ask(store, answer_stats, as_of=None)
    assert (a["share"], b["total"], b["known"]) == (100 * 40 / 45, 5, 4)
    by_day = await cells(store, "owners/B", per="day", as_of=None)
    assert (by_day["value"], by_day["known"]) == ([5], [4])
    assert await store.daily_group_sums(QUESTION, hours(0, 24)) == {at(0): {"A": 40, "B": 5}}
    await save(store, LATER + 2 * HOUR, left={3: 4}, A=each(0), B={0: 5})
    by_hour = await cells(store, "owners/B", per="hour", as_of=None)
    assert (by_hour["value"], by_hour["at_most"]) == ([5, 0, 0, None], [5, 0, 0, 1])
    await save(store, LATER + 3 * HOUR, A=each(0), B={0: 5, 1: 0, 3: 5})
    assert (await cells(store, "owners/B", per="hour", as_of=None))["value"] == [5, 0, 0, 5]
    await save(store, LATER + 4 * HOUR, A=each(0))
    await save(store, LATER + 5 * HOUR, left={0: 4, 1: 4}, A=each(0))
    by_hour = await cells(store, "owners/B", per="hour", as_of=None)
    assert (by_hour["value"], by_hour["at_most"]) == ([None, 0, 0, 0], [1, 0, 0, 0])


async def test_an_unknown_bucket_is_not_missing(store):
    chosen = PointQuery(profiles=("owners",), as_of=NOW)
    (row,) = await store.with_read_view(lambda view: [*absent_rows(view, chosen)])
    assert (row[1], row[4], row[5]) == ("owners/B", 1, "unknown")


def test_what_is_left_beside_groups_with_bounds():
    group = Column([10], [3], [4], [1], [2])
    rest = columns.without(Column([53], [4], [4]), [group])
    assert (rest.values, rest.at_most, rest.known) == ([41], [43], [3])
    lacking = columns.without(Column([53], [4], [4]), [Column([10], [3], [4])])
    assert (lacking.values, lacking.at_most) == ([None], [None])


@pytest.mark.parametrize(
    ("expected", "bounds"),
    [
        ([2, 1], [(10, 11), (40, 40)]),
        ([None, None], [(10, 12), (11, 11)]),
        ([None, 1, None], [(1, 3), (6, 9), (2, 5)]),
        ([1, 1, 3], [(5, 5), (5, 5), (0, 4)]),
        ([None, None], [(0, None), (5, 5)]),
    ],
)
def test_a_rank_is_there_if_the_bounds_decide_it(expected, bounds):
    made = [
        Column(
            [low], [0 if low != high else 1], [1], [0 if high is None else 1], None if high is None else [high - low]
        )
        for low, high in bounds
    ]
    assert [rank for (rank,) in columns.ranks(made)] == expected

from datetime import UTC, datetime, timedelta

import pytest

from collector.interval import AggInterval
from collector.settings import RetentionSettings
from collector.settings.schema import points_key
from collector.store import Fire
from collector.store.admin.verify import verify
from collector.store.ledger.bodies import NewBody, pack, write_question
from collector.store.retention.points import ReplacedRow, outdated_revisions
from collector.store.retention.prune import Pruned, cutoffs, prunable
from collector.timestamps import rfc3339
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    at,
    batch,
    filtered,
    hours,
    profile,
    query,
    rows,
    saved,
    start_fetch,
    values,
)

ALL = query()
DAYS = timedelta(days=1)
LATER = NOW + 2 * DAYS
EDGE = DAY + 10 * HOUR
KEEP = LATER - EDGE
"""Keeps, at LATER, the buckets from the tenth hour on."""


def keep(**spans):
    points = {one: spans.pop(points_key(one)) for one in AggInterval if points_key(one) in spans}
    return RetentionSettings(points, **spans)


async def dry(store, retention, now=LATER):
    with store._database.read() as connection:
        return prunable(connection, retention, now)


async def pruned(store, retention, now=LATER):
    """Prune, hold the dry run to what happened, and verify."""
    expected = await dry(store, retention, now)
    gone = await store.prune(retention, now)
    assert gone == expected
    await sound(store)
    return gone


async def sound(store):
    url = store._database.location.url.set(drivername=store.backend)
    assert (verify(url.render_as_string(hide_password=False))).findings == []


@pytest.fixture
async def store(store):
    await store.activate_labels([profile()], NOW)
    return store


@pytest.mark.parametrize(
    ("expected", "spans"),
    [
        ({}, {}),
        ({AggInterval.ONE_HOUR: datetime(2026, 5, 2, 12, tzinfo=UTC)}, {"points_1h": DAYS}),
        ({AggInterval.ONE_WEEK: datetime(2026, 4, 27, tzinfo=UTC)}, {"points_1w": DAYS}),
    ],
)
def test_points_are_kept_from_a_bucket_edge_on(expected, spans):
    assert cutoffs(keep(**spans), LATER, {}) == expected


async def test_it_works(store):
    await saved(store, batch((ALL, hours(0, 24))), range(24))
    assert await pruned(store, keep(points_1h=KEEP)) == Pruned(points=10)
    assert await values(store) == {float(hour): float(hour) for hour in range(10, 24)}


async def test_nothing_goes_by_default(store):
    await saved(store, batch((ALL, hours(0, 24))), range(24))
    assert await pruned(store, RetentionSettings(), NOW + 9_999 * DAYS) == Pruned()
    assert len(await values(store)) == 24


async def test_only_points_of_that_interval_go(store):
    await saved(store, batch((ALL, hours(0, 24))), range(24))
    assert await pruned(store, keep(points_15m=DAYS, points_1d=DAYS, points_1w=DAYS)) == Pruned()


async def test_a_second_time_there_is_nothing_to_do(store):
    await saved(store, batch((ALL, hours(0, 24))), range(24))
    await pruned(store, keep(points_1h=KEEP))
    assert await pruned(store, keep(points_1h=KEEP)) == Pruned()


async def test_with_points_go_their_revisions_marks_and_ranges(store):
    asked = batch((ALL, hours(0, 4)), (ALL, hours(8, 12)))
    await saved(store, asked, [1, 2, 3, 4], [9, 10, 11, 12])
    await saved(store, asked, {0: 1, 1: 5}, {8: 9, 9: 5, 10: 5}, now=NOW + HOUR, updated=NOW + HOUR)
    assert await pruned(store, keep(points_1h=KEEP)) == Pruned(points=6, revisions=2)
    assert await rows(store, "SELECT value FROM revisions") == [(11.0,)]
    assert len(await rows(store, "SELECT * FROM vanished")) == 1
    assert len(await rows(store, "SELECT * FROM date_ranges")) == 2


async def test_many_points_go_in_several_transactions_each_of_which_leaves_a_sound_store(store, monkeypatch):
    monkeypatch.setattr("collector.store.retention.points._POINTS_AT_ONCE", 3)
    for start in range(0, 24, 4):
        await saved(store, batch((ALL, hours(start, start + 8))), range(start, start + 8))
    step, seen = store._database.write, []

    async def write(work, **options):
        found = await step(work, **options)
        await sound(store)
        seen.append(found)
        return found

    monkeypatch.setattr(store._database, "write", write)
    assert await store.prune(keep(points_1h=KEEP), LATER) == Pruned(points=10)
    assert len([found for found in seen if found]) > 3


async def test_what_was_deleted_is_no_gap(store):
    await saved(store, batch((ALL, hours(0, 24))), range(24))
    await pruned(store, keep(points_1h=KEEP))
    assert await store.gaps(ALL, hours(0, 24), 14 * DAYS) == []
    assert await store.gaps(ALL, hours(0, 5), 14 * DAYS) == []
    assert [hole.window for hole in await store.gaps(ALL, hours(-9, 30), 14 * DAYS)] == [hours(24, 30)]


async def test_once_more_is_kept_the_deleted_is_a_gap_again(store):
    await saved(store, batch((ALL, hours(0, 24))), range(24))
    await pruned(store, keep(points_1h=KEEP))
    await pruned(store, keep(points_1h=KEEP + 4 * HOUR))
    assert [hole.window for hole in await store.gaps(ALL, hours(0, 24), 14 * DAYS)] == [hours(6, 10)]
    await pruned(store, RetentionSettings())
    assert [hole.window for hole in await store.gaps(ALL, hours(0, 24), 14 * DAYS)] == [hours(0, 10)]


async def test_old_revisions_go_and_the_values_stay(store):
    asked = batch((ALL, hours(0, 4)))
    for minutes, value in enumerate([1, 2, 3, 4]):
        await saved(store, asked, [value] * 4, now=NOW + minutes * HOUR, updated=NOW + minutes * HOUR)
    assert await pruned(store, keep(revisions=LATER - NOW - 2.5 * HOUR)) == Pruned(revisions=8)
    assert await rows(store, "SELECT DISTINCT value, fetch_id, replaced_by FROM revisions") == [(3.0, 3, 4)]
    assert await values(store) == dict.fromkeys(range(4), 4.0)


async def test_revisions_of_many_buckets_go_a_few_at_a_time(store, monkeypatch):
    monkeypatch.setattr("collector.store.retention.points._REVISIONS_AT_ONCE", 3)
    asked = batch((ALL, hours(0, 8)))
    for minutes, value in enumerate([1, 2, 3]):
        await saved(store, asked, [value] * 8, now=NOW + minutes * HOUR, updated=NOW + minutes * HOUR)
    assert await pruned(store, keep(revisions=DAYS)) == Pruned(revisions=16)


@pytest.mark.parametrize(
    ("expected", "replaced"),
    [
        ([], [(1, 2, 5)]),
        ([1], [(1, 2, 3)]),
        ([1], [(1, 2, 3), (2, 3, 5)]),
        ([], [(1, 2, 5), (2, 3, 3), (3, 4, 3)]),
        ([1, 3], [(1, 3, 2), (3, 2, 3)]),
    ],
)
def test_a_replaced_value_stays_while_the_one_it_replaced_does(expected, replaced):
    found = [ReplacedRow(0, fetch_id, by, DAY + hour * HOUR) for fetch_id, by, hour in replaced]
    assert [row.fetch_id for row in outdated_revisions(found, DAY + 4 * HOUR)] == expected


async def test_requests_that_brought_nothing_go(store):
    class Failed(Exception):
        outcome, status, code = "unavailable", 500, None

    asked = batch((ALL, hours(0, 4)))
    for moment in (NOW, LATER):
        await store.fail(await start_fetch(store, asked, moment), Failed("no"), moment)
    await saved(store, asked, [1, 2, 3, 4], now=LATER)
    assert await pruned(store, keep(fetches=DAYS)) == Pruned(fetches=1)
    assert [fetch.outcome for fetch in await store.list_fetches()] == ["ok", "unavailable"]
    assert await rows(store, "SELECT fetch_id FROM fetch_profiles ORDER BY 1") == [(2,), (3,)]


async def test_requests_that_changed_nothing_go_once_a_later_one_covers_theirs(store):
    asked = batch((ALL, hours(0, 4)))
    await saved(store, asked, [1, 2, 3, 4])
    await saved(store, asked, [1, 2, 3, 4])
    await saved(store, batch((ALL, hours(2, 6))), [3, 4])
    await saved(store, batch((ALL, hours(0, 5))), [1, 2, 3, 4])
    assert await pruned(store, keep(fetches=DAYS)) == Pruned(fetches=1)
    assert await rows(store, "SELECT fetch_id FROM date_ranges ORDER BY 1") == [(1,), (3,), (4,)]


async def test_requests_whose_buckets_are_all_gone_go_but_the_newest_answer_of_a_profile_stays(store):
    await saved(store, batch((ALL, hours(0, 4))), [1, 2, 3, 4])
    await saved(store, batch((ALL, hours(4, 8))), [1, 2, 3, 4])
    assert await pruned(store, keep(points_1h=KEEP, fetches=DAYS)) == Pruned(points=8, fetches=1)
    (status,) = await store.status_rows([profile()])
    assert (status.points, status.last_success) == (0, NOW)


async def test_of_a_fetch_that_stays_the_details_go_but_not_what_an_earlier_moment_needs(store):
    asked = batch((ALL, hours(0, 4)), (query(tld="com"), hours(0, 4)))
    for number in range(3):
        await saved(store, asked, [number] * 4, [number] * 4, now=NOW + number * HOUR, updated=NOW + number * HOUR)
    before = [await values(store, as_of=NOW + number * HOUR + HOUR / 2) for number in range(3)]
    needed = "id, started_at, finished_at, outcome, last_updated, normalization, unit, confidence_level, revised"
    kept = await rows(store, f"SELECT {needed} FROM fetches ORDER BY 1")
    assert await pruned(store, keep(fetches=DAYS)) == Pruned()
    requests = [request for (request,) in await rows(store, "SELECT request FROM fetches ORDER BY id")]
    assert requests == ["", "", str(asked)]
    assert await rows(store, f"SELECT {needed} FROM fetches ORDER BY 1") == kept
    assert [await values(store, as_of=NOW + number * HOUR + HOUR / 2) for number in range(3)] == before


async def test_a_fetch_whose_body_is_kept_keeps_the_reason_of_its_rejection(store):
    class Rejected(Exception):
        outcome, status, code = "untrusted", 200, None

    asked = batch((ALL, hours(0, 4)))
    fetch_id = await start_fetch(store, asked)
    await store.fail(fetch_id, Rejected("a value is missing"), NOW)
    await store.keep_body(NewBody(fetch_id, "odd", NOW, 200, 2, pack(b"{}"), write_question(asked)))
    (before,) = await store.list_fetches()
    assert await pruned(store, keep(fetches=DAYS)) == Pruned()
    assert await store.list_fetches() == [before]
    assert (before.message, before.status) == ("a value is missing", 200)


async def test_fetches_are_considered_once_and_again_when_their_points_go(store):
    for start in range(0, 12, 4):
        await saved(store, batch((ALL, hours(start, start + 4))), [1, 2, 3, 4])
    assert await pruned(store, keep(fetches=DAYS)) == Pruned()
    assert await rows(store, "SELECT value FROM state WHERE key = 'fetches_considered'") == [
        (f"3 {rfc3339(LATER - DAYS)}",)
    ]
    await saved(store, batch((ALL, hours(12, 16))), [1, 2, 3, 4], now=LATER)
    assert await pruned(store, keep(fetches=DAYS)) == Pruned()
    assert await pruned(store, keep(points_1h=KEEP, fetches=DAYS)) == Pruned(points=10, fetches=2)
    assert await rows(store, "SELECT id FROM fetches ORDER BY 1") == [(3,), (4,)]


async def test_fetches_are_considered_again_when_the_series_that_needed_them_is_deleted(store):
    other = filtered("other", tld="com")
    await store.activate_labels([profile(), other], NOW)
    for start in range(0, 12, 4):
        await saved(store, batch((query(tld="com"), hours(start, start + 4))), [1, 2, 3, 4], profiles=("other",))
    assert await pruned(store, keep(fetches=DAYS)) == Pruned()
    await store.activate_labels([profile()], NOW)
    ((series_id,),) = await rows(store, "SELECT id FROM series WHERE label = 'other'")
    await store.delete_series(series_id, [profile()], dry_run=False)
    assert await pruned(store, keep(fetches=DAYS)) == Pruned(fetches=3)


@pytest.mark.parametrize("meanwhile", [{}, {"fetches": 9 * DAYS}])
async def test_fetches_are_considered_again_when_they_were_kept_for_longer_meanwhile(store, meanwhile):
    for start in range(0, 12, 4):
        await saved(store, batch((ALL, hours(start, start + 4))), [1, 2, 3, 4])
    assert await pruned(store, keep(fetches=DAYS)) == Pruned()
    assert await pruned(store, keep(points_1h=KEEP, **meanwhile)) == Pruned(points=10)
    assert await pruned(store, keep(points_1h=KEEP, fetches=DAYS)) == Pruned(fetches=2)


async def test_sets_of_series_that_no_answer_is_about_any_more_go(store):
    com, net = query(tld="com"), query(tld="net")
    for number, asked in enumerate([(ALL, com), (ALL, net), (ALL, com, net)]):
        window = hours(number * 4, number * 4 + 4)
        await saved(store, batch(*((each, window) for each in asked)), *[range(4)] * len(asked))
    assert await pruned(store, keep(points_1h=LATER - DAY - 8 * HOUR)) == Pruned(points=16)
    assert await rows(store, "SELECT id FROM series_sets") == [(3,)]
    assert await rows(store, "SELECT set_id FROM series_set_members") == [(3,)] * 3


async def test_old_fires_go_but_the_newest_of_each_profile_stays(store):
    dues = [("all", 0), ("all", 1), ("all", 2), ("other", 0)]
    await store.activate_labels([profile(), profile("other")], NOW)
    await store.finish([Fire(name, DAY + hour * HOUR, "collected", NOW) for name, hour in dues], [])
    assert await pruned(store, keep(fires=DAYS)) == Pruned(fires=2)
    assert await rows(store, "SELECT profile FROM fires ORDER BY 1") == [("all",), ("other",)]
    assert (await store.last_fire("all")).due == DAY + 2 * HOUR


async def test_damage_is_reported_stops_nothing_and_is_not_hidden(store):
    asked = batch((ALL, hours(0, 24)), (query(tld="com"), hours(0, 24)))
    await saved(store, asked, range(24), range(24))

    def damage(connection):
        connection.exec_driver_sql("UPDATE points SET value = 99 WHERE value = 12 AND series_id = 1")

    await store._database.write(damage)
    gone = await store.prune(keep(points_1h=KEEP), LATER)
    assert gone.counts["points"] == 20
    assert [text.partition(",")[0] for text in gone.damaged] == ["the values of fetch 1"]
    assert (await values(store))[12.0] == 99.0
    url = store._database.location.url.set(drivername=store.backend).render_as_string(hide_password=False)
    assert ["what fetch 1 brought" in finding for finding in verify(url).findings] == [True]


async def test_relative_answers_are_pruned_alike(store):
    await saved(store, batch((ALL, hours(0, 24))), range(24), normalization="MIN_MAX")
    await saved(store, batch((ALL, hours(0, 12))), range(12), normalization="MIN_MAX", now=NOW + HOUR)
    await pruned(store, keep(points_1h=KEEP, revisions=DAYS))
    assert sorted(await values(store)) == [10.0, 11.0]
    assert at(10) == int(EDGE.timestamp())

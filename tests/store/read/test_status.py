from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from collector.radar.errors import Unavailable
from collector.store import ProfileStatus
from collector.store.db.migrate import HEAD
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, saved, start_fetch

ALL, COM, NET = query(), query(tld="com"), query(tld="net")
SOME = profile("some", tld=("com", "net"))


async def fail(store, now=NOW, profiles=("all",)):
    await store.fail(await start_fetch(store, batch((ALL, hours(0, 1))), now, profiles), Unavailable("down"), now)


async def test_a_profile_that_was_never_collected(store):
    await store.activate_labels([SOME], NOW)
    expected = ProfileStatus("some", "1h", 2, 0, None, None, None, None, 0)
    assert await store.status_rows([SOME]) == [expected]
    assert await store.status_rows([profile("undeclared")]) == [
        ProfileStatus("undeclared", "1h", 1, 0, None, None, None, None, 0)
    ]
    assert await store.status_rows([]) == []


async def test_the_oldest_newest_point_is_what_lag_is_measured_from(store):
    await store.activate_labels([SOME], NOW)
    await saved(store, batch((COM, hours(2, 6)), (NET, hours(0, 4))), [1] * 4, [1] * 4, profiles=["some"])
    (row,) = await store.status_rows([SOME])
    assert (row.series, row.points) == (2, 8)
    assert (row.first_point, row.last_point, row.newest_point) == (DAY, DAY + 3 * HOUR, DAY + 5 * HOUR)
    assert (row.last_success, row.failures) == (NOW, 0)


async def test_whole_is_what_has_every_bucket_between_its_ends(store):
    await store.activate_labels([SOME], NOW)
    await saved(store, batch((COM, hours(2, 6))), [1] * 4)
    await saved(store, batch((NET, hours(0, 2))), [1] * 2)
    await saved(store, batch((NET, hours(3, 4))), [1])
    assert await store.complete_extents([COM, NET, ALL]) == {COM: hours(2, 6)}


async def test_a_series_without_a_point_is_infinitely_late(store):
    await store.activate_labels([SOME], NOW)
    await saved(store, batch((COM, hours(2, 6))), [1] * 4)
    (row,) = await store.status_rows([SOME])
    assert (row.last_point, row.newest_point) == (None, DAY + 5 * HOUR)


async def test_failures_in_a_row_are_counted_from_the_last_success(store):
    await store.activate_labels([profile("all"), SOME], NOW)
    await fail(store, profiles=["all"])
    await saved(store, batch((ALL, hours(0, 1))), [1], now=NOW + HOUR, profiles=["all", "some"])
    await fail(store, NOW + 2 * HOUR, profiles=["all"])
    await fail(store, NOW + 2 * HOUR, profiles=["all"])
    await start_fetch(store, batch((ALL, hours(0, 1))), NOW + 3 * HOUR)
    rows = await store.status_rows([SOME, profile("all")])
    assert [(row.name, row.last_success, row.failures) for row in rows] == [
        ("some", NOW + HOUR, 0),
        ("all", NOW + HOUR, 2),
    ]


async def test_a_request_cut_off_by_the_end_of_the_process_is_no_failure(store):
    await start_fetch(store, batch((ALL, hours(0, 1))), NOW - timedelta(hours=1))
    await store.interrupt(NOW)
    assert [row.failures for row in await store.status_rows([profile("all")])] == [0]


async def test_the_store_says_what_it_holds(store, store_url):
    await saved(store, batch((COM, hours(2, 6)), (NET, hours(0, 4))), [1] * 4, [1] * 4)
    info = await store.info()
    assert (info.backend, info.revision, info.points) == (store.backend, HEAD, 8)
    assert info.bytes >= 50_000
    if store.backend == "sqlite":
        path = Path(sa.make_url(store_url).database)
        assert info.bytes == sum(file.stat().st_size for file in (path, Path(f"{path}-wal")))

from datetime import timedelta

from collector.model import Window
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, saved

ALL, OTHER = query(), query(tld="com")


async def test_when_a_bucket_was_last_asked_for(store):
    await store.activate_labels([profile(), profile("some", tld=("com",))], NOW)
    assert await store.last_covered_at([ALL, OTHER], DAY) == {}
    for minutes, window in enumerate([hours(0, 4), hours(2, 8), hours(4, 9)]):
        await saved(store, batch((ALL, window)), [], now=NOW + timedelta(minutes=minutes))

    async def minutes_at(hour):
        found = await store.last_covered_at([ALL, OTHER], DAY + hour * HOUR)
        return {query: (moment - NOW) / timedelta(minutes=1) for query, moment in found.items()}

    assert await minutes_at(-1) == {}
    assert await minutes_at(0) == await minutes_at(1) == {ALL: 0}
    assert await minutes_at(2) == await minutes_at(3) == {ALL: 1}
    assert await minutes_at(4) == await minutes_at(7.5) == await minutes_at(8) == {ALL: 2}
    assert await minutes_at(9) == {}


async def test_what_was_answered_since_a_moment(store):
    for minutes, window in enumerate([hours(0, 4), hours(2, 8)]):
        await saved(store, batch((ALL, window)), [], now=NOW + timedelta(minutes=minutes))
    inside = Window(DAY + HOUR, DAY + 6 * HOUR)
    assert await store.covered_windows(ALL, inside, NOW) == [hours(1, 4), hours(2, 6)]
    assert await store.covered_windows(ALL, inside, NOW + timedelta(seconds=1)) == [hours(2, 6)]
    assert await store.covered_windows(ALL, hours(8, 9), NOW) == []
    assert await store.covered_windows(OTHER, inside, NOW) == []


async def test_how_far_the_upstream_lies_behind(store):
    assert await store.upstream_lag("all") == timedelta(0)
    await saved(store, batch((ALL, hours(0, 1))), [1], updated=NOW - HOUR)
    assert await store.upstream_lag("all") == HOUR
    assert await store.upstream_lag("other") == timedelta(0)

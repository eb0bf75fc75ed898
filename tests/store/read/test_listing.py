from datetime import timedelta

from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, saved

ALL, COM = query(), query(tld="com")


async def test_series_say_what_they_are_and_hold(store):
    await store.activate_labels([profile("all"), profile("some", tld=("com", "net"))], NOW)
    await saved(store, batch((COM, hours(0, 4))), [1, 2, 3])
    every = await store.list_series()
    assert [(s.profile, s.label) for s in every] == [("all", "all"), ("some", "some/com"), ("some", "some/net")]
    com = every[1]
    assert (com.dataset, com.agg_interval, com.filters) == ("ct", "1h", {"tld": ["com"]})
    assert (com.normalization, com.unit, com.points) == ("RAW_VALUES", "*", 3)
    assert (com.first_point, com.last_point) == (DAY, DAY + 2 * HOUR)
    assert (every[2].first_point, every[2].points) == (None, 0)


async def test_series_can_be_chosen(store):
    await store.activate_labels([profile("all"), profile("some", tld=("com", "net"))], NOW)
    await saved(store, batch((COM, hours(0, 4)), (ALL, hours(4, 8))), [1, 2, 3], [4])

    async def labels(**chosen):
        return [series.label for series in await store.list_series(**chosen)]

    assert await labels(profile="some") == ["some/com", "some/net"]
    assert await labels(start=DAY + 3 * HOUR) == ["all"]
    assert await labels(end=DAY + 4 * HOUR) == ["some/com"]
    assert await labels(limit=1) == ["all"]


async def test_revisions_are_listed_by_series_bucket_and_time(store):
    await store.activate_labels([profile("all"), profile("some", tld=("com",))], NOW)
    asked = batch((ALL, hours(0, 2)), (COM, hours(0, 2)))
    for minute, found in enumerate([([1, 1], [5, 5]), ([2, 1], [5, 6]), ([3, 1], [5, 5])]):
        await saved(store, asked, *found, now=NOW + timedelta(minutes=minute))

    async def changes(**chosen):
        return [
            (r.series, (r.timestamp - DAY) / HOUR, r.value, r.new_value) for r in await store.list_revisions(**chosen)
        ]

    every = [("all", 0, 1.0, 2.0), ("all", 0, 2.0, 3.0), ("some/com", 1, 5.0, 6.0), ("some/com", 1, 6.0, 5.0)]
    assert await changes() == every
    assert await changes(profile="some") == every[2:]
    assert await changes(start=DAY + HOUR) == every[2:]
    assert await changes(end=DAY + HOUR, limit=1) == every[:1]


async def test_revisions_of_a_shared_series_stand_under_each_label(store):
    await store.activate_labels([profile("one"), profile("two")], NOW)
    for value in (1, 2):
        await saved(store, batch((ALL, hours(0, 1))), [value])
    assert [revision.series for revision in await store.list_revisions()] == ["one", "two"]


async def test_revisions_of_a_removed_profile_are_still_listed(store):
    await store.activate_labels([profile("gone")], NOW)
    for value in (1, 2):
        await saved(store, batch((ALL, hours(0, 1))), [value])
    await store.activate_labels([], NOW)
    assert [(revision.profile, revision.series) for revision in await store.list_revisions()] == [(None, "gone")]

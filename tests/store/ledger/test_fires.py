from datetime import timedelta

from collector.store import Fire
from collector.store.admin.verify import verify
from tests.harness.factories import DAY, HOUR, NOW

FIRE = Fire("all", DAY, "collected", NOW)


async def test_the_newest_due_moment_is_remembered(store):
    assert await store.last_fire("all") is None
    assert await store.last_fire("all") is None
    fires = [FIRE._replace(due=DAY + hour * HOUR, message=f"{hour}") for hour in (0, 2, 1)]
    await store.finish(fires, [])
    assert await store.last_fire("all") == fires[1]
    assert (await store.last_fire("all")).due == DAY + 2 * HOUR
    assert await store.last_fire("other") is None


async def test_every_due_moment_has_exactly_one_outcome(store):
    await store.finish([FIRE], [])
    await store.finish([FIRE._replace(outcome="failed", message="no")], [])
    assert await store.list_fires() == [FIRE]


async def test_no_fires_are_no_error(store):
    await store.finish([], [])
    assert await store.list_fires() == []


async def test_fires_are_listed_the_newest_first(store):
    odd = timedelta(microseconds=123457)
    fires = [Fire(name, DAY + hour * HOUR + odd, "failed", NOW, "why\0") for hour in range(3) for name in ("b", "a")]
    await store.finish(fires, [])
    listed = await store.list_fires()
    assert [(fire.due, fire.profile) for fire in listed[:3]] == [
        (DAY + 2 * HOUR + odd, "a"),
        (DAY + 2 * HOUR + odd, "b"),
        (DAY + HOUR + odd, "a"),
    ]
    assert len(await store.list_fires(profile="a")) == 3
    assert len(await store.list_fires(profile="a", start=DAY + HOUR, end=DAY + 2 * HOUR)) == 1
    assert len(await store.list_fires(limit=2)) == 2


async def test_what_a_clock_that_ran_ahead_wrote_is_written_anew_and_sealed(store, store_url):
    ahead = FIRE._replace(outcome="failed", finished_at=NOW + HOUR)
    await store.finish([ahead, FIRE._replace(due=DAY + HOUR)], [])
    await store.finish([FIRE, FIRE._replace(due=DAY + HOUR, outcome="failed")], [])
    assert [fire.outcome for fire in await store.list_fires()] == ["collected", "collected"]
    assert (verify(store_url)).findings == []

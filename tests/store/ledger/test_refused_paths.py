"""Which path sends the next request with credentials that were rejected, and which path is refused alone."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from collector.circuit_breaker import Wait
from collector.radar.errors import Forbidden, Unauthorized
from collector.store import StartedFetch, Store
from tests.harness.collect_core import NOW, batch

MINUTE = timedelta(minutes=1)
ALL = "/radar/ct/timeseries"
OWNERS = "/radar/ct/timeseries_groups/CA_OWNER"
LEVELS = "/radar/ct/timeseries_groups/VALIDATION_LEVEL"


class Requests:
    def __init__(self, store):
        self.store = store

    async def start(self, path, now):
        """Return the id of a started request; None if it may not be sent now."""
        outcome = await self.store.start_fetch(batch(), ["all"], now, 600, "it", path=path)
        return outcome.fetch_id if isinstance(outcome, StartedFetch) else None

    async def reject(self, path, now, status=403):
        fetch_id = await self.start(path, now)
        assert fetch_id is not None
        error = Unauthorized("Authentication error", status=status)
        error.path = path if status == 403 else ""
        await self.store.fail(fetch_id, error, now, "it")

    async def refuses(self, path):
        return await self.store.refuses_path("it", path, accepted_elsewhere=False)


@asynccontextmanager
async def opened(url):
    async with Store.open(url, owner="test") as store:
        yield Requests(store)


async def test_after_the_first_403_one_request_to_another_path_is_sent_at_once(store_url):
    async with opened(store_url) as requests:
        await requests.reject(OWNERS, NOW)
        assert await requests.start(OWNERS, NOW) is None
        fetch_id = await requests.start(ALL, NOW)
        assert await requests.start(LEVELS, NOW) is None
        await requests.store.accept_credentials("it", ALL)
        assert fetch_id
        assert await requests.start(OWNERS, NOW)
        assert (await requests.refuses(OWNERS), await requests.refuses(ALL)) == (True, False)
        await requests.store.accept_credentials("it", OWNERS)
        assert not await requests.refuses(OWNERS)


async def test_after_a_401_no_other_path_is_tried_before_the_pause_ends(store_url):
    async with opened(store_url) as requests:
        await requests.reject(OWNERS, NOW, status=401)
        assert await requests.start(ALL, NOW + 4 * MINUTE) is None
        assert await requests.start(OWNERS, NOW + 5 * MINUTE)


async def test_paths_take_turns_after_two_rejections(store_url):
    async with opened(store_url) as requests:
        await requests.reject(OWNERS, NOW)
        await requests.reject(LEVELS, NOW)
        assert await requests.start(ALL, NOW) is None  # so that it waits for its turn
        due = NOW + 5 * MINUTE
        assert await requests.start(OWNERS, due) is None
        assert await requests.start(LEVELS, due) is None
        await requests.reject(ALL, due)
        due += 5 * MINUTE
        assert await requests.start(LEVELS, due) is None
        assert await requests.start(ALL, due) is None
        await requests.reject(OWNERS, due)


async def test_requests_to_several_paths_in_one_transaction_are_decided_one_by_one(store_url):
    async with opened(store_url) as requests:
        await requests.reject(OWNERS, NOW)
        paths = [OWNERS, OWNERS, LEVELS, ALL]
        started = await asyncio.gather(*(requests.start(path, NOW) for path in paths))
        assert [fetch_id is not None for fetch_id in started].count(True) == 1
        assert started[:2] == [None, None]


async def test_a_403_concerns_one_path_only_while_the_credentials_are_accepted(store_url):
    async with opened(store_url) as requests:
        store = requests.store
        assert not await store.refuses_path("it", OWNERS, accepted_elsewhere=True)
        await store.accept_credentials("it", ALL)
        assert await store.refuses_path("it", OWNERS, accepted_elsewhere=True)
        fetch_id = await requests.start(OWNERS, NOW)
        cause = Unauthorized("Authentication error", status=403)
        await store.fail(fetch_id, Forbidden(cause, OWNERS), NOW, "it")
        assert await requests.refuses(OWNERS)
        assert await store.rejection_reason("it") is None
        await requests.reject(ALL, NOW)
        assert not await requests.refuses(OWNERS)
        assert isinstance(await store.start_fetch(batch(), ["all"], NOW, 600, "it", path=ALL), Wait)

"""A store that is closed while somebody still reads from it."""

import pytest

from collector.store import Store, StoreUnavailable
from tests.harness.factories import NOW, batch, hours, profile, saved


async def test_a_reader_that_outlives_the_store_ends_quietly(store_url):
    async with Store.open(store_url, owner="the test") as store:
        kept = profile()
        await store.activate_labels([kept], NOW)
        await saved(store, batch((kept.series[0].query, hours(0, 2))), [1, 2], profiles=(kept.name,))
        blocks = store.export_blocks([kept.name])
        await anext(blocks)
    await blocks.aclose()


async def test_a_read_from_a_closed_store_is_refused_in_words(store_url):
    async with Store.open(store_url, owner="the test") as store:
        pass
    with pytest.raises(StoreUnavailable, match="the store is closed"):
        await store.grids()

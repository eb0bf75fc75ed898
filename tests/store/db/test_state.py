from collector.store import Store


async def test_a_fact_outlives_the_process(store_url):
    async with Store.open(store_url, owner="test") as store:
        assert await store.get_state("limits") is None
        await store.set_state("limits", "1")
        await store.set_state("limits", "2")
    async with Store.open(store_url, owner=None) as store:
        assert await store.get_state("limits") == "2"

from dataclasses import replace

from collector.analysis.marks import make_mark
from collector.store.admin.verify import verify
from tests.harness.factories import NOW, dump, rows

MARK = make_mark("2027-03-15", "fewer days", url="https://example.org")


async def test_a_mark_is_one_row_however_often_it_is_added(store, store_url):
    added = await store.add_mark(MARK, NOW)
    assert added == replace(MARK, id=added.id) == await store.add_mark(MARK, NOW)
    assert await store.list_marks() == [added]
    assert '["mark","2027-03-15T00:00:00Z",null,"fewer days","https://example.org"]' in dump(store_url)
    assert await store.remove_mark(added.id)
    assert not await store.remove_mark(added.id)
    assert await rows(store, "SELECT * FROM marks") == []


async def test_a_changed_mark_is_found(store, store_url):
    added = await store.add_mark(MARK, NOW)
    assert verify(store_url).findings == []
    await store._database.write(lambda connection: connection.exec_driver_sql("UPDATE marks SET text = 'other'"))
    assert verify(store_url).findings == [f"mark {added.id} is not what it was (digest)"]

"""What the series know of the values of a filter, also as groups of a dimension, and as of an earlier moment."""

import json
from datetime import timedelta

from collector.datasets import DEFAULT
from collector.datasets.catalogue import AUTHORITIES, LOGS, CatalogueEntry
from collector.store import ListRecord
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, saved
from tests.harness.groups import OWNERS, each, save

DAYS = timedelta(days=2)


async def known(store, as_of=None):
    read = await store.with_read_view(lambda view: view.known_values(DEFAULT.name, "caOwner", as_of))
    return {value.name: value for value in read}


async def test_it_works(store):
    owners = {name: query(caOwner=name) for name in ("A", "B")}
    two = query(caOwner=("A", "B"))
    await store.activate_labels([profile(), profile("by", caOwner=("A", "B"))], NOW)
    window = hours(0, 3)
    asked = batch((query(), window), *((asks, window) for asks in (*owners.values(), two)))
    await saved(store, asked, [10, 20, 40], [0, 5, 10], [3, 0, 0], [3, 5, 10])
    values = await known(store)
    assert {name: (value.volume, value.share) for name, value in values.items()} == {"A": (10, 0.25), "B": (0, 0)}
    assert (values["A"].first_seen, values["A"].last_seen) == (DAY + HOUR, DAY + 2 * HOUR)
    assert (values["B"].first_seen, values["B"].last_seen) == (DAY, DAY)
    later = NOW + timedelta(hours=1)
    again = batch((owners["A"], hours(2, 3)))
    await saved(store, again, [20], now=later, updated=later)
    assert (await known(store))["A"].volume == 20
    assert (await known(store, NOW))["A"].volume == 10
    assert await known(store, DAY) == {}


async def test_a_group_of_the_dimension_is_known_with_its_share_of_the_sum(store):
    await store.activate_labels([OWNERS], NOW)
    await save(store, left={0: 5, 3: 5}, A=each(0), B={1: 5, 2: 5})
    values = await known(store)
    assert {name: (value.volume, value.share) for name, value in values.items()} == {"A": (10, 2 / 3), "B": (5, 1 / 3)}
    assert (values["B"].first_seen, values["B"].last_seen) == (DAY + HOUR, DAY + 2 * HOUR)


async def test_a_star_is_the_open_groups_or_else_what_a_list_of_radar_has(store):
    starred = [profile("by", each={name: ("*",)}) for name in ("caOwner", "logOperator", "ca")]

    async def names():
        return [dict(placed.names) for placed in await store.placed(starred)]

    assert await names() == [{"caOwner": ()}, {"logOperator": ()}, {"ca": ()}]
    for known_list, key in ((AUTHORITIES, "owner"), (LOGS, "operator")):
        entries = [CatalogueEntry(str(n), json.dumps({key: name, "name": "x"})) for n, name in enumerate("XYX")]
        await store.save_list(known_list.name, entries, NOW, ListRecord(), is_whole=True)
        await store.save_list(known_list.name, entries[:1], NOW + DAYS, ListRecord(), is_whole=True)
    assert await names() == [{"caOwner": ("X",)}, {"logOperator": ("X",)}, {"ca": ()}]
    await store.activate_labels([OWNERS], NOW)
    await save(store, A=each(0), B=each(0))
    assert await names() == [{"caOwner": ("A", "B")}, {"logOperator": ("X",)}, {"ca": ()}]

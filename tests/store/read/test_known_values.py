"""What the series know of the values of a filter, also as groups of a dimension, and as of an earlier moment."""

from datetime import timedelta

import sqlalchemy as sa

from collector.datasets import DEFAULT
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, saved


async def known(store, as_of=None):
    read = await store.with_read_view(lambda view: view.known_values(DEFAULT.name, "caOwner", as_of))
    return {value.name: value for value in read}


async def test_it_works(store):
    owners = {name: query(caOwner=name) for name in ("A", "B")}
    two = query(caOwner=("A", "B"))
    await store.activate_labels([profile(), profile("by", caOwner=("A", "B"))], NOW)
    window = hours(0, 3)
    asked = batch((query(), window), *((each, window) for each in (*owners.values(), two)))
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


async def test_a_group_of_the_dimension_is_known_as_well(store):
    await store.activate_labels([profile("by", caOwner=("A",))], NOW)
    await saved(store, batch((query(caOwner="A"), hours(0, 1))), [7])
    grouped = sa.text("""UPDATE series SET dimension = 'CA_OWNER', "group" = 'New Owner', filters = '{}'""")
    await store._database.write(lambda connection: connection.execute(grouped))
    assert {name: value.volume for name, value in (await known(store)).items()} == {"New Owner": 7}
    assert await store.with_read_view(lambda view: view.group_names("caOwner")) == ["New Owner"]

"""The nearest known names to one that nobody knows."""

from collector.datasets.catalogue import AUTHORITIES, CatalogueEntry
from collector.report.names import NameIndex, name_warnings
from collector.store import ListRecord
from tests.harness.factories import NOW, batch, hours, profile, query, saved

OWNERS = ["Internet Security Research Group", "DigiCert, Inc.", "Sectigo Limited", "Let's Encrypt", "SSL Corporation"]


def test_it_works():
    index = NameIndex(OWNERS)
    expected = {
        "Lets Encrypt": "Let's Encrypt",
        "DigiCert": "DigiCert, Inc.",
        "digicert inc": "DigiCert, Inc.",
        "Sectigo Ltd": "Sectigo Limited",
        "Internet Securty Research Group": "Internet Security Research Group",
    }
    assert {word: index.nearest(word)[:1] for word in expected} == {word: [name] for word, name in expected.items()}
    assert index.nearest("Zzz") == index.nearest("") == []
    assert "SSL Corporation" in index


def test_many_wrong_names_among_thousands_have_a_nearest_one():
    index = NameIndex(f"Example Trust {number:04} Certification Authority" for number in range(3000))
    wrong = {
        f"Exampel Trust {number:04}": f"Example Trust {number:04} Certification Authority" for number in range(100)
    }
    assert {word: index.nearest(word)[0] for word in wrong} == wrong


async def test_names_are_unknown_if_neither_a_list_nor_a_count_has_them(store):
    profiles = [profile("by", caOwner=("Sectigo Ltd", "DigiCert, Inc.", "Counted"))]

    async def warnings():
        return await store.with_read_view(lambda view: name_warnings(view, profiles))

    await store.activate_labels(profiles, NOW)
    assert await warnings() == []  # nothing was collected
    entries = [CatalogueEntry(str(n), f'{{"owner":"{name}","name":"x"}}') for n, name in enumerate(OWNERS)]
    await store.save_list(AUTHORITIES.name, entries, NOW, ListRecord(), is_whole=True)
    zeros, counted = (query(caOwner=name) for name in ("Sectigo Ltd", "Counted"))
    assert len(await warnings()) == 2
    await saved(store, batch((zeros, hours(0, 2)), (counted, hours(0, 2))), [0, 0], [0, 3], profiles=("by",))
    assert await warnings() == [
        'profile "by": ca_owner = "Sectigo Ltd": Radar\'s catalogue has no such owner; nearest: "Sectigo Limited"'
    ]

from datetime import timedelta

from collector.model import Annotation
from collector.windows import SeriesWindow
from tests.harness.factories import DAY, HOUR, NOW, at, batch, hours, profile, query, rows, saved

LATER = NOW + HOUR


class Asking:
    """Each question to one state of the history of its own."""

    def __init__(self, store, as_of=None):
        self.store, self.as_of = store, as_of

    def __getattr__(self, name):
        return lambda *arguments: self.store.read_as_of(lambda h: getattr(h, name)(*arguments), self.as_of)


async def _series(store, as_of=None):
    return await Asking(store, as_of).series("ct")


async def _points(store, first, last, as_of=None):
    [kept] = await _series(store, as_of)

    def read(history):
        blocks = history.points(SeriesWindow(kept.id, at(first), at(last)))
        return [tuple(row) for block in blocks for row in block]

    return await store.read_as_of(read, as_of)


async def test_it_works(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(0, 3))), [1, 2, 3])
    history = Asking(store)
    [kept] = await history.series("ct")
    assert (kept.query, kept.normalization, kept.unit, kept.labels) == (query(), "RAW_VALUES", "*", ("all",))
    assert await history.extents([kept.id]) == {kept.id: (at(0), at(2))}
    assert await history.last_updated([kept.id]) == {kept.id: NOW}
    assert await history.confidence_level([SeriesWindow(kept.id, at(0), at(3))]) == 5
    assert await _points(store, 1, 5) == [(at(1), 2.0), (at(2), 3.0)]


async def test_a_series_that_was_never_answered_is_there_and_says_so(store):
    await store.activate_labels([profile()], NOW)
    history = Asking(store)
    [kept] = await history.series("ct")
    assert not kept.answered
    assert await history.extents([kept.id]) == {}
    assert await history.last_updated([kept.id]) == {}
    assert await history.confidence_level([SeriesWindow(kept.id, at(0), at(3))]) is None


async def test_labels_in_use_come_first(store):
    await store.activate_labels([profile("zeta"), profile("old")], NOW)
    await store.activate_labels([profile("zeta"), profile("new")], NOW)
    [kept] = await _series(store)
    assert kept.labels == ("new", "zeta", "old")


async def test_of_two_normalizations_the_one_stands_that_the_labels_point_to(store):
    await store.activate_labels([profile()], NOW)
    asked = batch((query(), hours(0, 2)))
    await saved(store, asked, [1, 2])
    for moment in (LATER, LATER + HOUR):
        await saved(store, asked, [10, 20], now=moment, updated=moment, normalization="PERCENTAGE")
    [kept] = await _series(store)
    assert kept.normalization == "PERCENTAGE"


async def test_of_two_normalizations_the_one_stood_that_was_answered_then(store):
    await store.activate_labels([profile()], NOW)
    asked = batch((query(), hours(0, 2)))
    await saved(store, asked, [1, 2])
    for moment in (LATER, LATER + HOUR):
        await saved(store, asked, [10, 20], now=moment, updated=moment, normalization="PERCENTAGE")
    [kept] = await _series(store, NOW)
    assert kept.normalization == "RAW_VALUES"
    assert await _points(store, 0, 2, NOW) == [(at(0), 1.0), (at(1), 2.0)]


async def test_what_was_known_then_has_its_own_ends_values_and_last_updated(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(4, 6))), [5, 6])
    await saved(store, batch((query(), hours(0, 8))), [1, 2, 3, 4, 50, 6, 7, 8], now=LATER, updated=LATER)
    history = Asking(store, NOW)
    [kept] = await history.series("ct")
    assert await history.extents([kept.id]) == {kept.id: (at(4), at(5))}
    assert await history.last_updated([kept.id]) == {kept.id: NOW}
    history = Asking(store, NOW - HOUR)
    assert await history.extents([kept.id]) == {}
    assert await history.last_updated([kept.id]) == {}
    history = Asking(store, LATER)
    assert await history.extents([kept.id]) == {kept.id: (at(0), at(7))}
    assert await _points(store, 0, 8, NOW) == [(at(4), 5.0), (at(5), 6.0)]


async def test_the_confidence_level_is_the_lowest_of_the_newest_answers(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4])
    await rows_change(store, 2)
    await saved(store, batch((query(), hours(2, 6))), [3, 4, 5, 6], now=LATER, updated=LATER)
    history = Asking(store)
    [kept] = await history.series("ct")
    assert await history.confidence_level([SeriesWindow(kept.id, at(0), at(6))]) == 2
    assert await history.confidence_level([SeriesWindow(kept.id, at(1), at(3))]) == 2
    assert await history.confidence_level([SeriesWindow(kept.id, at(2), at(4))]) == 5
    assert await history.confidence_level([SeriesWindow(kept.id, at(9), at(10))]) is None
    assert await history.confidence_level([]) is None
    history = Asking(store, NOW)
    assert await history.confidence_level([SeriesWindow(kept.id, at(2), at(4))]) == 2


async def rows_change(store, level):
    """Let every answer so far have had this confidence level."""
    import sqlalchemy as sa

    def change(connection):
        connection.execute(sa.text("UPDATE fetches SET confidence_level = :level"), {"level": level})

    await store._database.write(change)
    assert await rows(store, "SELECT DISTINCT confidence_level FROM fetches") == [(level,)]


def _remark(start, end, **options):
    words = {"data_source": "CT", "event_type": "OUTAGE", "description": "", "linked_url": ""}
    moments = {"start_date": DAY + start * HOUR, "end_date": None if end is None else DAY + end * HOUR}
    return Annotation(**words, **moments, **{"is_instantaneous": False, **options})


async def _remarks(store, *windows, as_of=None):
    history = Asking(store, as_of)
    found = await history.annotations("ct", [(at(a), at(b)) for a, b in windows])
    return [(remark.start_date - DAY) / HOUR for remark in found]


async def test_annotations_are_those_that_share_more_than_an_edge(store):
    asked = batch((query(), hours(0, 24)))
    remarks = [_remark(2, 4), _remark(5, 5, is_instantaneous=True), _remark(6, None)]
    await saved(store, asked, [], annotations=remarks)
    assert await _remarks(store, (0, 24)) == [2, 5, 6]
    assert await _remarks(store, (0, 2)) == []
    assert await _remarks(store, (4, 5)) == []
    assert await _remarks(store, (5, 6)) == [5]
    assert await _remarks(store, (3, 4), (20, 21)) == [2, 6]
    assert await _remarks(store) == []


async def test_a_withdrawn_annotation_is_only_there_for_what_was_known_before(store):
    asked = batch((query(), hours(0, 24)))
    await saved(store, asked, [], annotations=[_remark(2, 4)])
    await saved(store, asked, [], now=LATER, updated=LATER)
    assert await _remarks(store, (0, 24)) == []
    assert await _remarks(store, (0, 24), as_of=NOW) == [2]
    assert await _remarks(store, (0, 24), as_of=NOW - timedelta(seconds=1)) == []
    assert await _remarks(store, (0, 24), as_of=LATER) == []

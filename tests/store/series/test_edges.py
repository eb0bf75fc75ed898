"""What lies before the beginning of Radar's own history is no gap, and nothing to read again."""

from dataclasses import replace
from datetime import timedelta

from collector.model import Window
from collector.rules.edge import Edge
from collector.store import ExpectedWindow, GapWindow
from tests.harness.factories import DAY, HOUR, NOW, at, batch, hours, profile, query, saved

ALL = query()
SETTLE = timedelta(hours=1)
ASKED = NOW.timestamp()


def edge(begins, since=None, *, seen=(ASKED, ASKED), kind="refused"):
    return Edge(at(begins), None if since is None else at(since), kind, "HTTP 404", seen, seen[-1])


async def found(store, window):
    return await store.gaps(ALL, window, SETTLE)


async def test_an_edge_is_kept_for_its_question_and_forgotten(store):
    one, other = edge(5), edge(6, 2, kind="empty")
    finer = query(hasIps="true")
    await store.set_edges({ALL: one, finer: other})
    assert await store.edges([ALL, finer, query(hasIps="false")]) == {ALL: one, finer: other}
    await store.set_edges({ALL: None, finer: replace(other, looks=1)})
    assert await store.edges([ALL, finer]) == {finer: replace(other, looks=1)}
    await store.set_state(f"edge:{finer.digest}", "no JSON")
    assert await store.edges([finer]) == {}


async def test_what_lies_before_an_accepted_edge_is_no_gap_and_is_not_asked_for(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((ALL, hours(5, 10))), {5: 1, 6: 1, 8: 1, 9: 1})
    gaps = [GapWindow(hours(0, 5), "missing"), GapWindow(hours(7, 8), "missing")]
    assert await found(store, hours(0, 10)) == gaps
    await store.set_edges({ALL: edge(5, seen=(ASKED,))})
    assert await found(store, hours(0, 10)) == gaps
    await store.set_edges({ALL: edge(5)})
    assert await found(store, hours(0, 10)) == gaps[1:]
    assert await found(store, hours(0, 5)) == []
    expected = ExpectedWindow(ALL, hours(0, 10), SETTLE)
    for explicit in (False, True):
        (requests,) = await store.gap_requests([expected], NOW, explicit=explicit)
        assert [(one.start, one.end) for one in requests] == [(at(7), at(8))]
    await store.set_edges({ALL: edge(5, 2, kind="empty")})
    assert await found(store, hours(0, 10)) == [GapWindow(hours(0, 2), "missing"), gaps[1]]


async def test_what_is_stored_before_an_edge_stays_and_is_not_to_be_read_again(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((ALL, hours(0, 10))), [1] * 10)
    await store.set_edges({ALL: edge(4)})
    state = (await store.series_states([ALL]))[ALL]
    assert state.extent == (at(0), at(10))
    assert state.still_there([(at(0), at(3)), (at(2), at(6))]) == [(at(4), at(6))]
    assert len([row async for row in store.export()]) == 10


async def test_a_beginning_that_answers_have_lacked_whole_is_found_beside_data(store):
    await store.activate_labels([profile()], NOW)
    expected = [ExpectedWindow(ALL, hours(-72, 10), SETTLE)]
    await saved(store, batch((ALL, hours(6, 10))), [1] * 4)
    assert await store.beginnings(expected) == [None]
    await saved(store, batch((ALL, hours(-20, 6))), {}, now=NOW + HOUR)
    assert await store.beginnings(expected) == [None], "nothing is known of the first two days"
    await saved(store, batch((ALL, hours(-72, -20))), {}, now=NOW + 2 * HOUR)
    assert await store.beginnings(expected) == [(at(-72), at(6))]
    assert await store.beginnings([ExpectedWindow(ALL, hours(-72, 6), SETTLE)]) == [None], "no data beside it"


async def test_the_local_api_knows_it_as_what_radar_does_not_have_at_that_moment(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((ALL, hours(5, 10))), [1] * 5)
    later = ASKED + 3600
    await store.set_edges({ALL: edge(5, seen=(ASKED, later))})
    ids = [row.id for row in await store.list_series()]

    def absent(history):
        return history.proven_absent(ids)

    assert await store.read_as_of(absent) == {ids[0]: [(0, at(5))]}
    assert await store.read_as_of(absent, as_of=NOW) == {}
    assert await store.history_begins(ids[0]) == DAY + 5 * HOUR


async def test_an_edge_goes_with_its_series(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((ALL, hours(5, 10))), [1] * 5)
    await store.set_edges({ALL: edge(5)})
    await store.activate_labels([], NOW)
    (row,) = await store.list_series()
    await store.delete_series(row.id, [], dry_run=True)
    assert await store.edges([ALL]) == {ALL: edge(5)}
    await store.delete_series(row.id, [], dry_run=False)
    assert await store.edges([ALL]) == {}


async def test_a_window_that_lies_before_the_edge_wholly_is_no_gap_without_any_point(store):
    await store.set_edges({ALL: edge(5)})
    assert await found(store, Window(DAY - 100 * HOUR, DAY)) == []


async def test_what_radar_has_no_longer_has_not_vanished_and_a_second_answer_moves_the_edge(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((ALL, hours(0, 10))), [1] * 10)
    await store.set_edges({ALL: edge(0, -9, kind="empty")})
    later = NOW + HOUR
    await saved(store, batch((ALL, hours(0, 10))), dict.fromkeys(range(3, 10), 1), now=later, updated=later)
    assert (await store.edges([ALL]))[ALL].begins == at(0), "one answer may be wrong"
    again = later + HOUR
    await saved(store, batch((ALL, hours(0, 4))), {}, now=again, updated=again)
    assert (await store.edges([ALL]))[ALL].absent == (at(-9), at(3))
    assert sum(row.vanished or 0 for row in await store.list_fetches()) == 0
    assert len([row async for row in store.export()]) == 10
    assert await found(store, hours(-9, 10)) == []


async def test_a_bucket_that_is_absent_behind_the_edge_has_vanished(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((ALL, hours(0, 10))), [1] * 10)
    await store.set_edges({ALL: edge(0, -9, kind="empty")})
    later = NOW + HOUR
    present = {hour: 1 for hour in range(10) if hour != 4}
    await saved(store, batch((ALL, hours(0, 10))), present, now=later, updated=later)
    await saved(store, batch((ALL, hours(5, 10))), {6: 1, 7: 1, 8: 1, 9: 1}, now=later + HOUR, updated=later + HOUR)
    assert [row.vanished for row in await store.list_fetches()] == [1, 1, 0]

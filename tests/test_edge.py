import itertools
from dataclasses import replace

import pytest

from collector.rules.edge import DAY, Edge, Search, dump, first_run, is_beginning, load, samples

STEP = 3600
WEEK = 7 * DAY
REFUSED = Edge(1000 * STEP, None, "refused", "HTTP 404", (5e8, 5e8), 5e8)
EMPTY = Edge(1000 * STEP, 900 * STEP, "empty", "lacked", (5e8, 5e8), 5e8)
SUSPECTED = replace(REFUSED, kind="unavailable", seen_at=(5e8,))


@pytest.mark.parametrize("edge", [REFUSED, EMPTY, SUSPECTED, replace(REFUSED, before=(900 * STEP, 4e8), looks=3)])
def test_an_edge_is_read_as_it_was_written(edge):
    assert load(dump(edge)) == edge


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"begins": 1}', dump(REFUSED).replace("begins", "ends")])
def test_what_is_no_edge_is_none(text):
    assert load(text) is None


@pytest.mark.parametrize(
    ("expected", "edge", "now"),
    [
        (False, REFUSED, 5e8),
        (False, REFUSED, 5e8 + WEEK - 1),
        (True, REFUSED, 5e8 + WEEK),
        (True, REFUSED, 5e8 - 1),
        (False, SUSPECTED, 5e8 + WEEK),
        (True, SUSPECTED.seen(5e8), 5e8 + DAY),
        (False, SUSPECTED.seen(5e8).seen(5e8 + DAY), 5e8 + 2 * DAY),
        (True, SUSPECTED.seen(5e8).seen(5e8 + DAY), 5e8 + DAY + WEEK),
    ],
)
def test_an_accepted_edge_is_looked_at_weekly_and_one_that_failed_to_answer_after_a_day(expected, edge, now):
    assert edge.is_due(now) is expected


@pytest.mark.parametrize(("expected", "after"), [(False, 0), (False, 899), (True, 900), (True, -1)])
def test_a_second_answer_comes_a_quarter_of_an_hour_later(expected, after):
    assert SUSPECTED.may_be_second(5e8 + after) is expected
    assert not REFUSED.may_be_second(5e8 + after)


@pytest.mark.parametrize(
    ("expected", "edge", "window"),
    [
        ([], REFUSED, (0, 1000)),
        ([(1000, 1100)], REFUSED, (900, 1100)),
        ([(1000, 1100)], REFUSED, (1000, 1100)),
        ([(800, 900), (1000, 1100)], EMPTY, (800, 1100)),
        ([(800, 890)], EMPTY, (800, 890)),
    ],
)
def test_a_window_is_cut_at_an_edge(expected, edge, window):
    hours = [(start * STEP, end * STEP) for start, end in expected]
    assert edge.clip((window[0] * STEP, window[1] * STEP)) == hours


def searched(search, edge, wrong=()):
    """Search for the edge; return it and the number of requests. Those with a number in *wrong* get a false answer."""
    count = 0
    while search and (bucket := search.question) is not None:
        refused = (bucket < edge) != (count in wrong)
        search = search.refused(bucket) if refused else search.answered(bucket)
        count += 1
    return (search.high if search else None), count


@pytest.mark.parametrize("edge", [1, 2, 3, 77, 500, 998, 999, 1000])
def test_a_search_finds_the_bucket_in_log2_questions_and_one(edge):
    found, count = searched(Search(0, 1000 * STEP, STEP), edge * STEP)
    assert found == edge * STEP
    assert count <= 11


@pytest.mark.parametrize("wrong", range(11))
def test_one_answer_that_is_wrongly_refused_or_given_does_not_end_the_search_too_early(wrong):
    for edge in (1, 77, 500, 999):
        found, _ = searched(Search(0, 1000 * STEP, STEP), edge * STEP, {wrong})
        assert found is None or found <= edge * STEP, "what Radar still has would be left out"


def test_a_search_that_began_with_a_wrong_refusal_finds_no_edge():
    assert searched(Search(0, 1000 * STEP, STEP), -1)[0] is None


def test_an_edge_that_moves_is_found_by_two_questions_where_it_is_expected():
    moving = replace(REFUSED, before=(976 * STEP, 5e8 - DAY))
    hints = moving.guesses(5e8 + 2 * DAY, STEP)
    assert hints[0] == 1048 * STEP
    assert searched(Search(0, 2000 * STEP, STEP, hints), 1048 * STEP) == (1048 * STEP, 3)


@pytest.mark.parametrize(
    ("expected", "runs"),
    [((0, 50), [(0, 50), (70, 80)]), (None, [(10, 50)]), (None, [(0, 100)]), (None, [(0, 120)]), (None, [])],
)
def test_the_first_run_begins_with_the_window_and_ends_at_a_stored_bucket(expected, runs):
    assert first_run((0, 100), runs) == expected


BEFORE = Edge(500 * STEP, 20 * STEP, "empty", "", (1, 2), 2)


@pytest.mark.parametrize(
    ("expected", "lacked", "edge"),
    [
        (True, [(0, 500)], None),
        (True, [(0, 300), (200, 400), (400, 600)], None),
        (True, [(0, 477)], None),
        (False, [(0, 476)], None),
        (False, [(1, 500)], None),
        (False, [], None),
        (True, [(0, 20)], BEFORE),
        (False, [(0, 20)], replace(BEFORE, seen_at=(1,))),
    ],
)
def test_a_beginning_has_been_lacked_whole_but_for_what_its_last_sample_asks_for(expected, lacked, edge):
    hours = [(start * STEP, end * STEP) for start, end in lacked]
    assert is_beginning((0, 500 * STEP), hours, STEP, edge) is expected


@pytest.mark.parametrize("step", [900, 3600, DAY, WEEK])
@pytest.mark.parametrize("length", [1, 2, 5, 100, 3000])
@pytest.mark.parametrize("turn", [0, 3, 7])
def test_samples_lie_in_the_run_and_the_last_has_the_bucket_behind_it(step, length, turn):
    run = (100 * WEEK, 100 * WEEK + length * step)
    for count in (1, 2, 5, 100):
        found = samples(run, step, count, turn)
        assert 1 <= len(found) <= max(1, min(count, 12))
        assert len({end - start for start, end in found}) == 1
        assert all(run[0] <= start and (start - run[0]) % step == 0 for start, _ in found)
        assert found[-1][1] == run[1] + step
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(found))

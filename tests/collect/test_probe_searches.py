"""Which size or date the probe tries next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.collect.probe.observations import OLDEST_AGE, AgeSearch, SizeSearch


def found(search, limit):
    tries = 0
    while (size := search.next) is not None:
        search, tries = search.after(size, accepted=size <= limit), tries + 1
    return search, tries


@pytest.mark.parametrize(("tries", "limit"), [(1, 100), (1, 500), (5, 3), (4, 2), (4, 1), (9, 50)])
def test_a_limit_is_found_exactly_in_few_tries(tries, limit):
    search, needed = found(SizeSearch(100, accepted=1), limit)
    assert (search.accepted, needed) == (min(limit, 100), tries)
    assert search.refused == (None if limit >= 100 else limit + 1)


@given(top=st.integers(1, 400), known=st.integers(0, 400), limit=st.integers(0, 500))
def test_any_limit_is_found(top, known, limit):
    search, tries = found(SizeSearch(top, accepted=min(known, limit)), limit)
    assert search.accepted == max(min(limit, top), min(known, limit))
    assert tries <= 12


def test_a_size_that_is_accepted_after_all_is_no_longer_refused():
    search = SizeSearch(10, accepted=1, refused=5).after(7, accepted=True)
    assert (search.accepted, search.refused) == (7, None)
    assert search.after(6, accepted=False) == search


def history(search, edge, most, *, refuses):
    """Search the oldest day of a history of *edge* days. Returns the number of requests."""
    requests = 0
    while ages := search.next(most):
        assert len(ages) <= most
        assert list(ages) == sorted(set(ages))
        if refuses and ages[-1] > edge:
            search = search.rejected(ages)
        else:
            search = search.answered(ages, [age for age in ages if age <= edge])
        requests += 1
    return search, requests


@given(edge=st.integers(0, 6000), known=st.integers(0, 60), most=st.integers(1, 16), refuses=st.booleans())
def test_the_oldest_day_is_found_whether_older_days_are_refused_or_empty(edge, known, most, refuses):
    known = min(known, edge)
    search, requests = history(AgeSearch(known), edge, most, refuses=refuses)
    assert search.with_data == max(known, min(edge, OLDEST_AGE))
    assert search.without == (edge + 1 if edge < OLDEST_AGE else None)
    assert search.refused == (refuses and edge < OLDEST_AGE)
    assert requests <= 22


def test_an_empty_history_before_an_edge_takes_three_requests():
    assert history(AgeSearch(28), 400, 16, refuses=False)[1] == 3


def test_a_gap_in_history_is_not_taken_for_its_beginning():
    search = AgeSearch(28, without=100).answered([200], [200])
    assert (search.with_data, search.without) == (200, None)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.store.write.diff import Difference, ReplacedValue, diff

OLD = (1.0, 7)


@pytest.mark.parametrize(
    ("expected", "stored", "answered", "missed", "newer"),
    [
        pytest.param(Difference(), {}, {}, set(), [], id="nothing"),
        pytest.param(Difference(inserted={1: 1.0, 2: 2.0}), {}, {2: 2.0, 1: 1.0}, set(), [], id="all new"),
        pytest.param(Difference(unchanged=1), {1: OLD}, {1: 1.0}, set(), [], id="the same"),
        pytest.param(
            Difference(revised=[ReplacedValue(1, OLD, 2.0)]), {1: OLD}, {1: 2.0}, set(), [], id="another value"
        ),
        pytest.param(Difference(vanished=[1]), {1: OLD}, {}, set(), [], id="gone"),
        pytest.param(Difference(), {1: OLD}, {}, {1}, [], id="gone as before"),
        pytest.param(Difference(unchanged=1, returned=[1]), {1: OLD}, {1: 1.0}, {1}, [], id="back"),
        pytest.param(
            Difference(revised=[ReplacedValue(1, OLD, 2.0)], returned=[1]),
            {1: OLD},
            {1: 2.0},
            {1},
            [],
            id="back with another value",
        ),
        pytest.param(Difference(ignored=1), {1: OLD}, {1: 2.0}, set(), [(1, 2)], id="an older value"),
        pytest.param(Difference(ignored=1), {1: OLD}, {}, set(), [(0, 9)], id="an older answer without it"),
        pytest.param(Difference(unchanged=1), {1: OLD}, {1: 1.0}, {1}, [(1, 2)], id="an older answer that has it"),
        pytest.param(
            Difference(inserted={2: 2.0}, ignored=1),
            {1: OLD},
            {1: 3.0, 2: 2.0},
            set(),
            [(0, 9)],
            id="older, and more",
        ),
        pytest.param(
            Difference(revised=[ReplacedValue(3, OLD, 2.0)], ignored=1),
            {1: OLD, 3: OLD},
            {1: 2.0, 3: 2.0},
            set(),
            [(0, 3), (4, 9)],
            id="older in a part of the window",
        ),
    ],
)
def test_what_changes(expected, stored, answered, missed, newer):
    assert diff(stored, answered, missed, newer) == expected


timestamps = st.integers(0, 12)
numbers = st.sampled_from([0.0, 1.0, 2.0])
ranges = st.lists(st.tuples(timestamps, timestamps), max_size=2)


@given(
    st.dictionaries(timestamps, st.tuples(numbers, st.integers(1, 3))),
    st.dictionaries(timestamps, numbers),
    st.sets(timestamps),
    ranges,
)
def test_what_is_stored_afterwards_is_what_the_newest_answer_said(stored, answered, missed, newer):
    missed &= set(stored)
    change = diff(stored, answered, missed, newer)
    after = {t: value for t, (value, _) in stored.items()} | dict(change.inserted)
    after |= {revised.timestamp: revised.value for revised in change.revised}
    marked = (missed | set(change.vanished)) - set(change.returned)
    for t in set(stored) | set(answered):
        spoken_of = any(start <= t < end for start, end in newer)
        if t not in stored:
            assert after[t] == answered[t]
        elif spoken_of:
            assert (after[t], t in marked) == (stored[t][0], t in missed)
        else:
            assert (after[t], t in marked) == (answered.get(t, stored[t][0]), t not in answered)
    lacked = sum(1 for t in stored if t not in answered and any(start <= t < end for start, end in newer))
    assert len(answered) == len(change.inserted) + len(change.revised) + change.unchanged + change.ignored - lacked


@given(st.dictionaries(timestamps, numbers), st.dictionaries(timestamps, numbers))
def test_the_same_answer_again_changes_nothing(first, second):
    stored = {t: (value, 1) for t, value in first.items()}
    change = diff(stored, second)
    stored |= {t: (value, 2) for t, value in change.inserted.items()} | {
        r.timestamp: (r.value, 2) for r in change.revised
    }
    assert diff(stored, second, change.vanished) == Difference(unchanged=len(second))

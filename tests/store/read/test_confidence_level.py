import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.store.read.as_of import ConfidenceRange, lowest_level


@pytest.mark.parametrize(
    ("expected", "spoken"),
    [
        (None, []),
        (None, [ConfidenceRange(1, 0, 9, None)]),
        (5, [ConfidenceRange(1, 0, 9, 5)]),
        (5, [ConfidenceRange(1, 0, 9, 5), ConfidenceRange(1, 0, 9, 3)]),
        (3, [ConfidenceRange(1, 0, 8, 5), ConfidenceRange(1, 0, 9, 3)]),
        (3, [ConfidenceRange(1, 3, 4, 5), ConfidenceRange(1, 0, 9, 3)]),
        (5, [ConfidenceRange(2, 0, 9, 1), ConfidenceRange(1, 0, 9, 5)]),
        (5, [ConfidenceRange(1, 9, 12, 1), ConfidenceRange(1, 0, 9, 5)]),
    ],
)
def test_of_each_bucket_only_the_newest_answer_counts(expected, spoken):
    assert lowest_level([(1, 0, 9)], spoken) == expected


RANGES = st.tuples(st.integers(0, 9), st.integers(1, 10)).map(sorted).filter(lambda pair: pair[0] < pair[1])


@given(st.lists(st.tuples(RANGES, st.integers(0, 5))))
def test_it_is_what_a_walk_over_all_buckets_finds(answers):
    spoken = [ConfidenceRange(1, *found, level) for found, level in answers]
    newest = [next((one.level for one in spoken if one.start <= bucket < one.end), None) for bucket in range(10)]
    expected = min((level for level in newest if level is not None), default=None)
    assert lowest_level([(1, 0, 10)], spoken) == expected

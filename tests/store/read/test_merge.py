from hypothesis import given
from hypothesis import strategies as st

from collector.store.read.points import merged


def _blocks(points, size):
    return [points[at : at + size] for at in range(0, len(points), size)]


def _merged(streams):
    return list(merged([iter(blocks) for blocks in streams]))


def test_of_each_bucket_the_first_stream_counts():
    streams = [[[(3, "a"), (4, "a")]], [[(1, "b"), (2, "b"), (3, "b"), (6, "b")]]]
    assert _merged(streams) == [(1, [(1, "b"), (2, "b")]), (0, [(3, "a"), (4, "a")]), (1, [(6, "b")])]


def test_nothing_merged_is_nothing():
    assert _merged([]) == _merged([[], []]) == _merged([[[]], [[], []]]) == []


@given(st.lists(st.tuples(st.sets(st.integers(0, 30)), st.integers(1, 5)), max_size=4))
def test_any_streams_are_merged_as_a_dictionary_would(chosen):
    streams = [_blocks([(t, (number, t)) for t in sorted(found)], size) for number, (found, size) in enumerate(chosen)]
    expected = {}
    for number, (found, _) in reversed(list(enumerate(chosen))):
        expected |= {t: (number, t) for t in found}
    runs = _merged(streams)
    assert [row for _, rows in runs for row in rows] == sorted(expected.items())
    assert all(row[1][0] == number for number, rows in runs for row in rows)

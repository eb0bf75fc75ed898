import pytest

from collector.model import Points, Window
from collector.rules.normalization import Verdict, compare, load, short_window
from collector.timestamps import from_epoch, utc

STEP = 3600


def _points(*values, start=0):
    return Points(
        [(start + at) * STEP for at, value in enumerate(values) if value is not None],
        [v for v in values if v is not None],
    )


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        ((3, 7), [5, 1, 9, 2, 3, 4, 6, 9, 5]),
        (None, []),
        (None, [0.0] * 20),
        (None, [7.0] * 20),
        (None, [1, 5, 5, 5, 5, 6, 5, 5, 5, 5, 5]),
        (None, [1, 2, 3, 4, 5]),
        ((5, 9), [1, 2, None, 9, 0, 3, 4, 5, 6, 2]),
    ],
)
def test_the_part_asked_for_again_lacks_the_ends_and_the_extremes(expected, values):
    found = short_window(_points(*values), STEP)
    window = expected and Window(*(from_epoch(at * STEP) for at in expected))
    assert found == window


@pytest.mark.parametrize(
    ("expected", "long", "short"),
    [
        (("absolute", 3, 0), [1, 2, 3, 4, 5], [2, 3, 4]),
        (("relative", 3, 1), [1, 2, 3, 4, 5], [2, 3, 5]),
        (("undecided", 3, 0), [1, 0, 0, 7, 5], [0, 0, 7]),
        (("undecided", 2, 2), [1, 2, 3, 4, 5], [8, 9]),
        (("undecided", 0, 0), [1, 2, 3, 4, 5], []),
    ],
)
def test_few_different_values_prove_nothing(expected, long, short):
    assert compare(_points(*long), _points(*short, start=1)) == expected


def test_a_verdict_reads_back_as_it_was_written():
    verdict = Verdict("COUNT", "absolute", utc("2026-03-10T12:00:00Z"), "A..B", "C..D", 40, 0)
    assert load(verdict.dump()) == verdict

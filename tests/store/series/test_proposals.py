from datetime import timedelta

import pytest

from collector.model import Window, spelling_free
from collector.store.ledger.fetches import AnswerTime
from collector.store.series.proposals import Answered, counting, proposal
from tests.harness.factories import DAY, HOUR, NOW


@pytest.mark.parametrize(
    ("expected", "proposed_at", "asked"),
    [
        ((None, False), None, []),
        ((0, False), None, [0]),
        ((0, False), None, [0, 0.9]),
        ((0, True), None, [0, 0.5, 1]),
        ((0, False), 0, [0.99]),
        ((0, True), 0, [1]),
        ((0, False), 0, [-2]),
    ],
)
def test_a_second_answer_an_hour_later_brings_a_unit_into_force(expected, proposed_at, asked):
    def moment(hours):
        return None if hours is None else NOW + hours * HOUR

    assert proposal(moment(proposed_at), map(moment, asked)) == (moment(expected[0]), expected[1])


def _answer(asked, updated, start=0, end=2):
    asked_at = NOW + asked * HOUR
    window = Window(DAY + start * HOUR, DAY + end * HOUR)
    return Answered(window, AnswerTime(asked_at, asked_at + timedelta(seconds=1), NOW + updated * HOUR))


@pytest.mark.parametrize(
    ("expected", "answers", "rivals"),
    [
        ([1], [_answer(1, 1)], []),
        ([1], [_answer(1, 1)], [_answer(0, 0)]),
        ([], [_answer(1, 1)], [_answer(0, 2)]),
        ([], [_answer(1, 1)], [_answer(2, 1)]),
        ([1], [_answer(1, 1)], [_answer(0, 2, 2, 4)]),
        ([25.5], [_answer(25.5, 1)], [_answer(0, 2)]),
        ([1, 3], [_answer(3, 1), _answer(2, 1, 8, 9), _answer(1, 1)], [_answer(4, 1, 8, 9)]),
    ],
)
def test_an_answer_counts_unless_a_newer_one_in_another_unit_knows_the_same_buckets(expected, answers, rivals):
    assert counting(answers, rivals) == [NOW + asked * HOUR for asked in expected]


@pytest.mark.parametrize(
    ("same", "one", "other"),
    [
        (True, "certificates", "Certificates"),
        (True, "certificates", " CERTIFICATES\t"),
        (True, "log entries", "Log  Entries"),
        (True, "log entries", "LogEntries"),
        (True, "a=certificates, B=entries", "A=Certificates, b=entries"),
        (True, "Straße", "STRASSE"),
        (False, "certificates", "requests"),
        (False, "certificates", ""),
        (False, "a=x, b=y", "a=y, b=x"),
    ],
)
def test_case_and_blanks_make_no_other_unit(same, one, other):
    assert (spelling_free(one) == spelling_free(other)) is same

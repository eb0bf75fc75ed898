"""The rules of retries: pauses that grow, and numbers of attempts."""

from datetime import timedelta

import pytest

from collector.retry import (
    backoff,
    batch_attempts,
    budget_jitter,
    contact_attempts,
    heal_backoff,
    pass_backoff,
    refusal_backoff,
)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(("longest", "failures"), [(1, 1), (2, 2), (4, 3), (8, 4), (60, 7), (60, 100), (60, 100_000)])
def test_back_off_doubles_with_jitter_up_to_a_minute(longest, failures):
    pauses = [backoff(failures) for _ in range(200)]
    assert longest / 2 <= min(pauses) < max(pauses) <= longest


def test_callers_that_wait_for_the_budget_do_not_return_at_once():
    pauses = {budget_jitter() for _ in range(200)}
    assert len(pauses) > 100
    assert 0 <= min(pauses) < max(pauses) <= 1


@pytest.mark.parametrize(
    ("expected", "failures", "step"),
    [(1, 1, HOUR), (2, 2, HOUR), (32, 6, HOUR), (60, 7, 24 * HOUR), (15, 500, HOUR / 4)],
)
def test_a_refused_question_pauses_for_twice_as_long_up_to_a_bucket_or_an_hour(expected, failures, step):
    assert refusal_backoff(failures, step) == expected * MINUTE


@pytest.mark.parametrize(("expected", "failures"), [(1, 1), (2, 2), (4, 3), (32, 6), (60, 7), (60, 1_000)])
def test_a_failed_pass_pauses_for_twice_as_long_up_to_an_hour(expected, failures):
    assert pass_backoff(failures) == expected * MINUTE


@pytest.mark.parametrize(("expected", "failures"), [(60, 0), (5, 1), (10, 2), (40, 4), (60, 5), (60, 1_000)])
def test_healing_repeats_every_hour_and_sooner_after_a_failure(expected, failures):
    assert heal_backoff(failures) == expected * MINUTE


@pytest.mark.parametrize(
    ("expected", "may_be_too_large", "has_failed"),
    [(4, False, False), (2, False, True), (1, True, False), (1, True, True)],
)
def test_a_batch_is_sent_less_often_when_the_failure_may_be_its_own(expected, may_be_too_large, has_failed):
    assert batch_attempts(may_be_too_large=may_be_too_large, has_failed=has_failed) == expected


def test_the_first_contact_check_is_sent_once_more_than_the_later_ones():
    assert [contact_attempts(checks) for checks in (1, 2, 3)] == [3, 2, 2]

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from collector.interval import AggInterval
from collector.report.readiness import GRACE, due_past_grace, is_healthy, late_reason, owed_since, staleness_limit
from collector.store import ProfileStatus
from tests.harness.factories import profile

DUE = datetime(2026, 3, 10, 12, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Known:
    success: datetime | None = None
    reason: str | None = None


@pytest.mark.parametrize(
    ("is_late", "known", "started", "now"),
    [
        (False, Known(DUE + MINUTE), DUE - 60 * MINUTE, DUE + 30 * MINUTE),
        (False, Known(DUE), DUE - 60 * MINUTE, DUE + 30 * MINUTE),
        (False, Known(DUE - 60 * MINUTE), DUE - 60 * MINUTE, DUE + GRACE - timedelta(seconds=1)),
        (True, Known(DUE - 60 * MINUTE), DUE - 60 * MINUTE, DUE + GRACE),
        (True, Known(), DUE - 60 * MINUTE, DUE + GRACE),
        (False, Known(), DUE + 20 * MINUTE, DUE + 21 * MINUTE),
        (True, Known(), DUE + 20 * MINUTE, DUE + 22 * MINUTE),
    ],
)
def test_late_two_minutes_after_the_due_moment_or_the_start_and_not_before(is_late, known, started, now):
    assert (late_reason(known, DUE, started, now) is not None) == is_late


def test_a_success_after_the_delay_that_was_known_then_is_enough():
    known, now = Known(DUE - 10 * MINUTE), DUE + 30 * MINUTE
    assert late_reason(known, DUE, DUE - 60 * MINUTE, now, DUE - 11 * MINUTE) is None
    assert late_reason(known, DUE, DUE - 60 * MINUTE, now, DUE - 9 * MINUTE)


def test_the_reason_names_the_due_time_and_the_failure():
    said = late_reason(Known(DUE - 60 * MINUTE, "HTTP 503"), DUE, DUE, DUE + GRACE)
    assert said == "due since 2026-03-10T12:02:00Z, last success 2026-03-10T11:02:00Z: HTTP 503"
    assert late_reason(Known(), DUE, DUE, DUE + GRACE) == "due since 2026-03-10T12:02:00Z, last success never"


def test_during_the_grace_the_previous_due_time_counts():
    step = timedelta(minutes=15)
    for seconds, expected in ((0, DUE - step), (119, DUE - step), (120, DUE)):
        assert due_past_grace(DUE, step, DUE + timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("hours", "interval", "usual"),
    [
        (3.25, "15m", None),  # an unknown lag counts as an hour
        (24 + 3, "1d", None),
        (3, "15m", timedelta(minutes=45)),
        (3.25, "15m", timedelta(hours=1)),
        (3.25, "1h", timedelta(minutes=45)),
        (24 + 2.25, "1d", timedelta(minutes=45)),
        (24 + 0.1, "1d", timedelta(0)),  # the publication delay at least
        (7 * 24 + 2.25, "1w", timedelta(minutes=45)),
    ],
)
def test_stale_beyond_the_interval_and_three_times_the_usual_lag_and_three_hours_at_least(hours, interval, usual):
    assert staleness_limit(profile(agg_interval=AggInterval(interval)), usual) == timedelta(hours=hours)


STEP = timedelta(hours=1)


@pytest.mark.parametrize("state", ["fresh", "gaps", "healing", "relative", "snapshot", "paused"])
def test_ready_states(state):
    assert is_healthy(state, DUE - STEP, STEP, DUE)


@pytest.mark.parametrize("state", ["late", "failing", "stale"])
def test_states_that_are_not_ready(state):
    assert not is_healthy(state, DUE, STEP, DUE)


@pytest.mark.parametrize(("state", "length"), [("waiting", timedelta(minutes=15)), ("new", STEP)])
def test_waiting_is_ready_for_a_quarter_of_an_hour_and_a_new_profile_for_an_interval(state, length):
    assert is_healthy(state, DUE, STEP, DUE + length - timedelta(seconds=1))
    assert not is_healthy(state, DUE, STEP, DUE + length)


def _row(success=None, declared=None):
    return ProfileStatus("all", "15m", 1, 0, None, None, None, success, 0, declared_at=declared)


def test_a_wait_counts_from_the_first_due_time_after_the_last_success_or_from_the_first_record():
    every, now = profile(agg_interval=AggInterval.FIFTEEN_MINUTES), DUE + 7 * MINUTE
    assert owed_since(every, _row(DUE - 60 * MINUTE), now) == DUE - 45 * MINUTE
    assert owed_since(every, _row(DUE), now) == now
    assert owed_since(every, _row(declared=DUE - 60 * MINUTE), now) == DUE - 60 * MINUTE
    assert owed_since(every, _row(), now) == now

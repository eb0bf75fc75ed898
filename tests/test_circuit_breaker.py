"""The rules of the circuit breaker and of credential probation."""

from datetime import UTC, datetime, timedelta

import pytest

from collector.circuit_breaker import (
    FetchOutcome,
    Throttle,
    UpstreamHealth,
    Wait,
    circuit_throttle,
    credentials_throttle,
    rejection_reason,
    upstream_health,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
POLL = Wait(NOW + SECOND, "silent")


def outcome(sent_at=NOW, finished_at=NOW, word="unavailable"):
    return FetchOutcome(sent_at, finished_at, word, "no answer")


def under_way(sent_at=NOW):
    return outcome(sent_at, None, "started")


CLOCK_AHEAD = outcome(NOW + 365 * 24 * 60 * MINUTE, NOW)
"""Sent by a process whose clock was a year ahead."""


def test_it_works():
    assert circuit_throttle(outcome(), NOW).allowed == 0
    assert circuit_throttle(outcome(), NOW + MINUTE).allowed == 1
    assert credentials_throttle(None, outcome(word="ok"), NOW) is None


@pytest.mark.parametrize(
    ("expected", "newest", "now"),
    [
        (Throttle(0, Wait(NOW + MINUTE, "silent", outcome())), outcome(), NOW),
        (Throttle(0, Wait(NOW + MINUTE, "silent", outcome())), outcome(), NOW + 59 * SECOND),
        (Throttle(0, Wait(NOW + MINUTE, "silent", outcome(word="interrupted"))), outcome(word="interrupted"), NOW),
        (Throttle(1, Wait(NOW + MINUTE + SECOND, "silent")), outcome(), NOW + MINUTE),
        (Throttle(0, POLL), under_way(), NOW),
        (Throttle(0, Wait(NOW + MINUTE, "silent")), under_way(), NOW + MINUTE - SECOND / 2),
        (Throttle(1, Wait(NOW + MINUTE + SECOND, "silent")), under_way(), NOW + MINUTE),
        (Throttle(0, Wait(NOW + MINUTE, "silent", CLOCK_AHEAD)), CLOCK_AHEAD, NOW),
    ],
)
def test_an_open_circuit_breaker_lets_one_probe_a_minute_through(expected, newest, now):
    assert circuit_throttle(newest, now) == expected


ONE = Throttle(1, Wait(NOW + SECOND, "credentials"))
NONE = Throttle(0, Wait(NOW + SECOND, "credentials"))
REJECTED = outcome(word="unauthorized")
REJECTED_LONG_AGO = outcome(NOW - 5 * MINUTE, NOW - 5 * MINUTE, "unauthorized")


@pytest.mark.parametrize(
    ("expected", "rejected", "probe"),
    [
        (ONE, None, None),
        (NONE, None, under_way()),
        (ONE, None, under_way(NOW - 10 * SECOND)),
        (ONE, None, outcome()),
        (ONE, None, outcome(word="interrupted")),
        (None, None, outcome(word="ok")),
        (None, REJECTED_LONG_AGO, outcome(word="refused")),
        (ONE, REJECTED_LONG_AGO, outcome(word="forbidden")),
        (Throttle(0, Wait(NOW + 5 * MINUTE, "credentials", REJECTED)), REJECTED, None),
        (ONE, REJECTED_LONG_AGO, None),
        (NONE, REJECTED_LONG_AGO, under_way()),
        (NONE, REJECTED_LONG_AGO, under_way(NOW - 59 * SECOND)),
        (ONE, REJECTED_LONG_AGO, outcome()),
    ],
)
def test_credentials_on_probation_are_sent_by_one_request(expected, rejected, probe):
    assert credentials_throttle(rejected, probe, NOW) == expected


def test_corrected_credentials_are_sent_at_once_by_one_request():
    assert credentials_throttle(REJECTED, None, NOW, at_once=True) == ONE
    assert credentials_throttle(REJECTED, under_way(), NOW, at_once=True) == NONE


def test_a_path_waits_a_minute_more_for_each_path_whose_turn_comes_before():
    later = Throttle(0, Wait(NOW + 2 * MINUTE, "credentials", REJECTED_LONG_AGO))
    assert credentials_throttle(REJECTED_LONG_AGO, None, NOW, turn=2) == later
    assert credentials_throttle(REJECTED_LONG_AGO, None, NOW, turn=0) == ONE
    assert credentials_throttle(REJECTED, None, NOW, at_once=True, turn=2) == ONE


@pytest.mark.parametrize(
    ("expected", "rejected", "probe"),
    [
        (None, None, None),
        (None, None, under_way()),
        ("no answer", REJECTED, None),
        ("no answer", REJECTED, under_way()),
        ("no answer", REJECTED, outcome(word="rate_limited")),
        (None, REJECTED, outcome(word="ok")),
        (None, REJECTED, outcome(word="refused")),
    ],
)
def test_the_reason_of_a_rejection_stays_until_an_answer_shows_acceptance(expected, rejected, probe):
    assert rejection_reason(rejected, probe) == expected


@pytest.mark.parametrize(
    ("expected", "newest", "newest_ended", "is_open"),
    [
        (UpstreamHealth("ok"), None, None, False),
        (UpstreamHealth("ok"), outcome(), outcome(), False),
        (UpstreamHealth("silent", "no answer", NOW + MINUTE), outcome(), outcome(), True),
        (UpstreamHealth("silent", "no answer", NOW + MINUTE), under_way(), outcome(NOW - MINUTE, NOW - MINUTE), True),
        (UpstreamHealth("unauthorized", "no answer", NOW + 5 * MINUTE), REJECTED, REJECTED, False),
        (UpstreamHealth("ok"), outcome(word="ok"), outcome(word="ok"), False),
    ],
)
def test_the_state_of_radar_goes_by_the_newest_requests(expected, newest, newest_ended, is_open):
    assert upstream_health(newest, newest_ended, is_open=is_open, now=NOW) == expected


@pytest.mark.parametrize(
    ("expected", "probe_at"),
    [
        (None, None),
        (NOW + MINUTE, NOW + MINUTE),
        (NOW + SECOND, NOW),
        (NOW + SECOND, NOW - 5 * MINUTE),
        (None, NOW - 5 * MINUTE - SECOND),
    ],
)
def test_requests_wait_for_the_probe_while_a_process_sends_it(expected, probe_at):
    assert UpstreamHealth("silent", "no answer", probe_at).waiting_until(NOW) == expected

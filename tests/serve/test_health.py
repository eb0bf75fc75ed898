from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from collector.serve.health import GRACE, late, owed

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
    assert (late(known, DUE, started, now) is not None) == is_late


def test_it_says_since_when_and_why():
    said = late(Known(DUE - 60 * MINUTE, "HTTP 503"), DUE, DUE, DUE + GRACE)
    assert said == "due since 2026-03-10T12:02:00Z, last success 2026-03-10T11:02:00Z: HTTP 503"
    assert late(Known(), DUE, DUE, DUE + GRACE) == "due since 2026-03-10T12:02:00Z, last success never"


def test_what_was_missed_before_is_owed_while_the_newest_may_still_come():
    step = timedelta(minutes=15)
    for seconds, expected in ((0, DUE - step), (119, DUE - step), (120, DUE)):
        assert owed(DUE, step, DUE + timedelta(seconds=seconds)) == expected

"""Pure rules of retries: how often a request is sent, and how long callers wait between two attempts.

The circuit breaker limits all requests together, see `circuit_breaker.py`. Transactions of the database have their own
retries, see `store/db/database.py`.
"""

from __future__ import annotations

import random
from datetime import timedelta

MAX_ATTEMPTS = 4
"""How often a batch is sent if no answer comes."""
MAX_WAIT = timedelta(minutes=15)
"""A fetch that would wait longer fails instead: its caller decides."""
FAILURES_BEFORE_CONTACT_CHECK = 2
"""The number of failures that the pause before a contact check follows."""

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_BUDGET_JITTER_SECONDS = 1.0
_MAX_DOUBLINGS = 10

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
HEAL_INTERVAL = timedelta(hours=1)
_FIRST_HEAL_PAUSE = timedelta(minutes=5)

_FIRST_CONTACT_ATTEMPTS = 3
"""One fewer than MAX_ATTEMPTS, because the larger request before it has failed once."""
_LATER_CONTACT_ATTEMPTS = 2


def backoff(failures: int) -> float:
    """Return the seconds to wait after *failures* in a row: doubled each time, with jitter, at most a minute."""
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * _doubled(failures))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - no secret


def budget_jitter() -> float:
    """Return extra seconds for a wait that ends for several callers at once."""
    return random.uniform(0, _BUDGET_JITTER_SECONDS)  # noqa: S311 - no secret


def batch_attempts(*, may_be_too_large: bool, has_failed: bool) -> int:
    """Return how often a batch is sent if it gets no answer.

    One that *may_be_too_large* is sent once, then its halves. One with slices that *has_failed* before is sent twice.
    """
    if may_be_too_large:
        return 1
    return 2 if has_failed else MAX_ATTEMPTS


def contact_attempts(checks: int) -> int:
    """Return how often the contact check number *checks* of a run is sent if it gets no answer."""
    return _FIRST_CONTACT_ATTEMPTS if checks == 1 else _LATER_CONTACT_ATTEMPTS


def pass_backoff(failures: int) -> timedelta:
    """Return the pause after *failures* in a row of a pass that takes several requests: doubled, at most an hour."""
    return min(FIRST_PAUSE * _doubled(failures), LONGEST_PAUSE)


def refusal_backoff(failures: int, step: timedelta) -> timedelta:
    """Return the pause of a question that Radar has refused *failures* times in a row.

    It doubles, up to one bucket (*step*) or an hour.
    """
    return min(pass_backoff(failures), step)


def heal_backoff(failures: int) -> timedelta:
    """Return the pause before the next healing after *failures* in a row: doubled, at most HEAL_INTERVAL."""
    return min(_FIRST_HEAL_PAUSE * _doubled(failures), HEAL_INTERVAL) if failures else HEAL_INTERVAL


def _doubled(failures: int) -> int:
    """Return 1 for the first failure, then twice as much for each one."""
    return 1 << min(failures - 1, _MAX_DOUBLINGS)

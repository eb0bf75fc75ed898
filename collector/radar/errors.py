"""What can go wrong with a request to Radar. The class says what to do about it; `outcome` is the word on record."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from collector.errors import CollectorError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from collector.clock_difference import ClockSample
    from collector.model import Body

ANSWERED = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION, HTTPStatus.PARTIAL_CONTENT})
"""The statuses of a response that may be an answer."""
_QUOTED = re.compile(r"""'[^'…]*['…]|"[^"…]*["…]""")
_NUMBERS = re.compile(r"[0-9][0-9.,:TZ+-]*")
_MOST_KIND = 100


class RadarError(CollectorError):
    """A request to Radar brought no trusted answer; *status* is HTTP's and *code* the API's, where there was one.

    *body* is what came, as far as it was read; whoever handles the error takes it away, because errors are kept for
    long. *kind* is one sentence for all errors alike, whatever they quote.
    *clock_sample* is what the reply, if there was one, shows of our clock.
    """

    outcome: ClassVar[str] = "failed"
    body: Body | None = None

    def __init__(self, message: str, *, status: int | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.clock_sample: ClockSample | None = None

    def take_body(self) -> Body | None:
        """Return the body and let go of it."""
        body, self.body = self.body, None
        return body

    @property
    def kind(self) -> str:
        """The outcome, and behind it status and code, or the reason without what it quotes."""
        if self.code is not None or (self.status or HTTPStatus.OK) not in ANSWERED:
            code = "" if self.code is None else f", code {self.code}"
            return f"{self.outcome}: HTTP {self.status}{code}"
        reason = _NUMBERS.sub("N", _QUOTED.sub("…", str(self)))
        return f"{self.outcome}: {reason}"[:_MOST_KIND]


class Unavailable(RadarError):
    """Retry: no answer, half an answer, or an error page. *not_before* is the moment the server named, if any."""

    outcome = "unavailable"

    def __init__(
        self, message: str, *, status: int | None = None, code: int | None = None, not_before: datetime | None = None
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.not_before = not_before


class TimedOut(Unavailable):
    """Retry, or ask for less: no whole answer came in time."""


class Unreachable(Unavailable):
    """Retry: no connection came about, so nothing was asked."""


class RateLimited(RadarError):
    """Wait: nothing may be asked of Radar, by anyone on this account, before *not_before*."""

    outcome = "rate_limited"

    def __init__(
        self, message: str, *, not_before: datetime, status: int | None = None, code: int | None = None
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.not_before = not_before


class Refused(RadarError):
    """Split: Radar will not answer this question in this form; a smaller one it may."""

    outcome = "refused"


class TooCostly(Refused):
    """Split: the query is above the cost, the span or the number of series that Radar allows."""

    outcome = "too_costly"


class InFuture(Refused):
    """Ask up to Radar's present: by the `Date` of this refusal, the end that was asked for lies in Radar's future."""


class Paused(Refused):
    """Wait: the question was refused for its content, and is not asked again before *again_at*."""

    def __init__(self, message: str, *, again_at: datetime) -> None:
        super().__init__(message)
        self.again_at = again_at


class Misdirected(RadarError):
    """Stop: there is no such path at this address; the base URL is wrong."""

    outcome = "misdirected"


class Untrusted(RadarError):
    """Refuse whole: the answer is not what was asked, or not a number; nothing of it is stored."""

    outcome = "untrusted"


class OffGrid(Untrusted):
    """Refuse whole: every bucket begins *offset* later than one of the grid that was asked for."""

    def __init__(self, message: str, *, offset: timedelta) -> None:
        super().__init__(message)
        self.offset = offset


class Coarsened(Untrusted):
    """Refuse whole: the answer has another interval than was asked for, most likely because that was too fine."""


class RelativeValues(RadarError):
    """Ask alone: the values are relative to the whole answer, so slices that share one cannot be told apart.

    *unknown_word* is the normalization, if nobody knows it and so may be no relative one.
    """

    outcome = "relative"

    def __init__(self, message: str, *, status: int | None = None, unknown_word: str | None = None) -> None:
        super().__init__(message, status=status)
        self.unknown_word = unknown_word


class Unauthorized(RadarError):
    """Stop: the credentials are missing, malformed, wrong or without permission. Asking again changes nothing."""

    outcome = "unauthorized"

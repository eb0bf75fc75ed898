"""The errors of a request to Radar. The class says what to do; `outcome` is the word on record."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from collector.errors import CollectorError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from collector.model import Body
    from collector.rules.clock_difference import ClockSample

ANSWERED = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION, HTTPStatus.PARTIAL_CONTENT})
"""The statuses of a response that may be an answer."""
_QUOTED = re.compile(r"""'[^'…]*['…]|"[^"…]*["…]""")
_NUMBERS = re.compile(r"[0-9][0-9.,:TZ+-]*")
_MAX_KIND_LENGTH = 100


class RadarError(CollectorError):
    """A request without a checked answer; *status* is the HTTP status and *code* the API's error code, if any.

    *body* is the part of the body that was read. The handler removes it with `take_body`, because errors are kept for a
    long time. *clock_sample* is what the response, if there was one, shows of our clock. *path* is set if the error may
    concern the path alone.
    """

    outcome: ClassVar[str] = "failed"
    body: Body | None = None
    path: str = ""

    def __init__(self, message: str, *, status: int | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.clock_sample: ClockSample | None = None

    def take_body(self) -> Body | None:
        """Return the body and remove it from the error."""
        body, self.body = self.body, None
        return body

    @property
    def kind(self) -> str:
        """The outcome with status and code, or with the reason without the values in it: equal for similar errors."""
        if self.code is not None or (self.status or HTTPStatus.OK) not in ANSWERED:
            code = "" if self.code is None else f", code {self.code}"
            return f"{self.outcome}: HTTP {self.status}{code}"
        reason = _NUMBERS.sub("N", _QUOTED.sub("…", str(self)))
        return f"{self.outcome}: {reason}"[:_MAX_KIND_LENGTH]


class Unavailable(RadarError):
    """Retry: there is no answer, half an answer or an error page. *not_before* is the moment the server named."""

    outcome = "unavailable"

    def __init__(
        self, message: str, *, status: int | None = None, code: int | None = None, not_before: datetime | None = None
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.not_before = not_before


class TimedOut(Unavailable):
    """Retry, or send a smaller request: no complete response came in time."""


class Unreachable(Unavailable):
    """Retry: no connection was made, so no request was sent."""


class RateLimited(RadarError):
    """Wait: no client of this account may send a request to Radar before *not_before*."""

    outcome = "rate_limited"

    def __init__(
        self, message: str, *, not_before: datetime, status: int | None = None, code: int | None = None
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.not_before = not_before


class Refused(RadarError):
    """Split: Radar rejects this request; it may accept a smaller one."""

    outcome = "refused"


class TooCostly(Refused):
    """Split: the request exceeds the cost, the span or the number of series that Radar allows."""

    outcome = "too_costly"


class InFuture(Refused):
    """End the request at Radar's present: by the `Date` of the response, the requested end is in Radar's future."""


class Paused(Refused):
    """Wait: the request was rejected for its content, and is not sent again before *again_at*."""

    def __init__(self, message: str, *, again_at: datetime) -> None:
        super().__init__(message)
        self.again_at = again_at


class Misdirected(RadarError):
    """Stop: the path does not exist at this address, so the base URL is wrong, or Radar lacks this dimension."""

    outcome = "misdirected"


class NotFound(RadarError):
    """Skip the object: Radar does not know it under this name, although the path exists."""

    outcome = "not_found"


class Untrusted(RadarError):
    """Reject the whole answer: it does not belong to the request, or has no valid numbers. Nothing of it is stored."""

    outcome = "untrusted"


class OffGrid(Untrusted):
    """Reject the whole answer: every bucket begins *offset* later than on the requested grid."""

    def __init__(self, message: str, *, offset: timedelta) -> None:
        super().__init__(message)
        self.offset = offset


class Coarsened(Untrusted):
    """Reject the whole answer: it has a coarser interval than requested, most likely because that was too fine."""


class RelativeValues(RadarError):
    """Request each slice alone: values are relative to the whole answer, so slices of one answer cannot be separated.

    *unknown_word* is the normalization if the API's description does not have it. It may then be an absolute one.
    """

    outcome = "relative"

    def __init__(self, message: str, *, status: int | None = None, unknown_word: str | None = None) -> None:
        super().__init__(message, status=status)
        self.unknown_word = unknown_word


class Unauthorized(RadarError):
    """Stop: the credentials are missing, malformed, wrong or lack permission. A retry changes nothing."""

    outcome = "unauthorized"


class Forbidden(RadarError):
    """Pause the series of this *path*: Radar refuses it to credentials that it accepts on other paths."""

    outcome = "forbidden"

    def __init__(self, cause: Unauthorized, path: str) -> None:
        message = f"{cause}, on the path {path} alone: the same credentials are accepted on other paths"
        super().__init__(message, status=cause.status, code=cause.code)
        self.body, self.clock_sample, self.path = cause.body, cause.clock_sample, path

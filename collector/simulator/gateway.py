"""The gateway in front of the API: it checks credentials, limits the request rate, and logs it without secrets."""

from __future__ import annotations

import hashlib
import math
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.contract.errors import NO_CREDENTIALS, ApiError, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.contract.request_parser import ApiRequest
    from collector.simulator.options import RateLimit, SimulatorOptions

_BEARER = re.compile(r"bearer [\x21-\x7e]+", re.IGNORECASE)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_KEY = re.compile(r"[\x21-\x7e]+")


def check_credentials(headers: Mapping[str, str], options: SimulatorOptions) -> None:
    """Accept a bearer token, or an e-mail address with its key; otherwise raise the gateway's error."""
    authorization, email, key = (headers.get(n) for n in ("Authorization", "X-Auth-Email", "X-Auth-Key"))
    if authorization is not None:
        if _BEARER.fullmatch(authorization) is None:
            raise _malformed(6111, "Authorization")
        accepted = options.token is None or authorization[7:] == options.token
        accepted &= options.token is not None or options.email_and_key is None
    elif email and key:
        if _EMAIL.fullmatch(email) is None:
            raise _malformed(6102, "X-Auth-Email")
        if _KEY.fullmatch(key) is None:
            raise _malformed(6103, "X-Auth-Key")
        accepted = (email, key) == options.email_and_key or (options.token is None and options.email_and_key is None)
    else:
        raise ApiError(NO_CREDENTIALS, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
    if not accepted:
        raise ApiError(options.wrong_credentials, "Authentication error")


def _malformed(code: int, header: str) -> ApiError:
    chain = ((code, f"Invalid format for {header} header"),)
    return ApiError(ErrorCode(400, 6003), "Invalid request headers", chain=chain)


def caller_id(headers: Mapping[str, str]) -> str:
    """Return a hash that identifies the credentials of a caller."""
    shown = "\n".join(headers.get(n, "") for n in ("Authorization", "X-Auth-Email", "X-Auth-Key"))
    return hashlib.blake2b(shown.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


class RateLimiter:
    """Counts the requests of one caller in a sliding window. One request too many blocks the caller for a while."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._arrivals: deque[float] = deque()
        self._blocked_until = float("-inf")

    def blocked_for(self, now: float) -> float | None:
        """Count a request at *now* (epoch seconds); returns None, or for how many seconds the caller is blocked."""
        if now < self._blocked_until:
            return self._blocked_until - now
        while self._arrivals and self._arrivals[0] <= now - self._limit.window.total_seconds():
            self._arrivals.popleft()
        if len(self._arrivals) >= self._limit.requests:
            self._blocked_until = now + self._limit.block.total_seconds()
            return self._blocked_until - now
        self._arrivals.append(now)
        return None

    def headers(self, style: str, now: float) -> dict[str, str]:
        """Return the headers about the limit, in the style `x` or `policy`; none for another style."""
        limit, window = self._limit.requests, int(self._limit.window.total_seconds())
        left = 0 if now < self._blocked_until else limit - len(self._arrivals)
        until = max(self._blocked_until, self._arrivals[0] + window if self._arrivals else now)
        reset = max(0, math.ceil(until - now))
        if style == "policy":
            return {"Ratelimit": f'"default";r={left};t={reset}', "Ratelimit-Policy": f'"default";q={limit};w={window}'}
        if style == "x":
            return {
                "X-RateLimit-Limit": str(limit),
                "X-RateLimit-Remaining": str(left),
                "X-RateLimit-Reset": str(reset),
            }
        return {}


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request: its arrival in epoch seconds of the simulator's clock, its content and its result.

    *request* is None if the request was rejected. *caller* identifies the credentials. *status* is that of the answer,
    delivered or not. *fault* is the name of the fault that hit it.
    """

    at: float
    method: str
    path: str
    raw_query: str
    caller: str
    request: ApiRequest | None = None
    status: int = 0
    fault: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the requested series, in their order."""
        return tuple(requested.name for requested in self.request.series) if self.request else ()

    @property
    def series(self) -> int:
        """The number of requested series."""
        return len(self.names)

    @property
    def url_bytes(self) -> int:
        """The length of path and query."""
        return len(self.path) + 1 + len(self.raw_query)

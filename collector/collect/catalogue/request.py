"""Sends one request about the catalogue, by the rules of all requests: budget, circuit breaker, credentials, record."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from collector.collect.batches.fetcher import ShuttingDown, log_level
from collector.radar.catalogue import MAX_BODY_BYTES
from collector.radar.errors import NotFound, RadarError, RateLimited, Unavailable
from collector.retry import backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.collect.batches.fetcher import Fetcher
    from collector.model import PathRequest
    from collector.radar.client import RadarResponse

T = TypeVar("T")
log = logging.getLogger(__name__)

PROFILE = "(catalogue)"
"""The profile on record for requests about the catalogue."""
_MAX_ATTEMPTS = 2
"""So few that all that is due of the catalogue cannot open the circuit breaker alone."""


async def fetch_path(fetcher: Fetcher, request: PathRequest, read: Callable[[RadarResponse], T]) -> T:
    """Send *request* and return what *read* makes of the response.

    Raises a RadarError if there is no answer; the attempts are on record. A request without an answer is sent once
    more, unless the circuit is open. Raises ShuttingDown between two requests.
    """
    for failures in range(1, _MAX_ATTEMPTS + 1):
        try:
            async with fetcher.alone_if_probe(), fetcher.radar.slots:
                return await _send(fetcher, request, read)
        except Unavailable:
            if failures == _MAX_ATTEMPTS or fetcher.circuit_is_open:
                raise
            await fetcher.pause(backoff(failures))
        except RateLimited:
            if failures == _MAX_ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


async def _send(fetcher: Fetcher, request: PathRequest, read: Callable[[RadarResponse], T]) -> T:
    fetch_id = await fetcher.reserve(request, [PROFILE])
    started = time.perf_counter()
    try:
        response = await fetcher.unless_stopped(fetcher.radar.get(request.path, request.query, MAX_BODY_BYTES))
        await fetcher.clock_watch.note(response.clock_sample)
        content = read(response)
    except ShuttingDown as error:
        await fetcher.record_failure(fetch_id, error)
        raise
    except RadarError as error:
        judged = await fetcher.judged(error, request)
        await fetcher.note_failure(fetch_id, judged, started)
        level = logging.INFO if isinstance(judged, NotFound) else min(log_level(judged), logging.WARNING)
        _log(level, fetch_id, request, started, outcome=judged.outcome, reason=str(judged))
        raise judged from None
    await fetcher.store.end_catalogue_request(fetch_id, len(response.body or b""), fetcher.clock())
    fetcher.note_answer(started)
    await fetcher.accept_credentials(request)
    _log(logging.INFO, fetch_id, request, started, outcome="ok")
    return content


def _log(level: int, fetch_id: int, request: PathRequest, started: float, **fields: object) -> None:
    milliseconds = round((time.perf_counter() - started) * 1000)
    fields = {"fetch": fetch_id, "profiles": PROFILE, "request": str(request), "ms": milliseconds, **fields}
    log.log(level, "fetch", extra=fields)

"""What an answer from history lacks, and what is said when Radar could not be asked for it: pure decisions."""

from __future__ import annotations

from http import HTTPStatus
from itertools import zip_longest
from typing import TYPE_CHECKING

from collector.contract.date_ranges import floor
from collector.contract.errors import TOO_COSTLY, ApiError, ErrorCode, bad_request
from collector.model import Slice, Window, from_epoch
from collector.radar.errors import RateLimited, Refused, TooCostly

if TYPE_CHECKING:
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest
    from collector.radar.errors import RadarError
    from collector.serve.radar_api.answer import Answered

LIMITED = ErrorCode(HTTPStatus.TOO_MANY_REQUESTS, 10000)
NO_GATEWAY = ErrorCode(HTTPStatus.BAD_GATEWAY, 2000)


def lacking(question: ApiRequest, answered: Answered | None, now: datetime) -> list[Slice]:
    """The slices of which not every bucket that has closed by *now* is answered; all of them where nothing is."""
    asked = answered.question if answered else question
    step = asked.agg_interval.seconds
    found = []
    for one, line in zip_longest(asked.series, answered.lines if answered else ()):
        end = min(one.end, floor(now.timestamp(), step, one.start))
        if one.start < end and (line is None or len(line.timestamps) < (end - one.start) // step):
            found.append(Slice(one.query, Window(from_epoch(one.start), from_epoch(end))))
    return list(dict.fromkeys(found))


def refusal(error: RadarError, now: datetime, stored: ApiError | None = None) -> ApiError:
    """Word what stood between us and Radar as the API words its own refusals, with nothing of what it said.

    *stored* is why the history cannot answer: its message follows.
    """
    found = _refusal(error, now)
    if stored is None:
        return found
    return ApiError(found.error_code, f"{found.message}. {stored.message}", retry_after=found.retry_after)


def _refusal(error: RadarError, now: datetime) -> ApiError:
    if isinstance(error, RateLimited):
        seconds = max(1, round((error.not_before - now).total_seconds()))
        return ApiError(LIMITED, "Not in the history, and Radar may not be asked now", retry_after=str(seconds))
    if isinstance(error, TooCostly):
        return ApiError(TOO_COSTLY, "Not in the history, and too much to ask of Radar for one question")
    if isinstance(error, Refused):
        return bad_request("Not in the history, and Radar does not answer this question")
    return ApiError(NO_GATEWAY, "Not in the history, and Radar could not be asked")

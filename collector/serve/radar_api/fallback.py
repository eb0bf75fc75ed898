"""What an answer from history lacks, and the error if Radar cannot supply it. Pure decisions."""

from __future__ import annotations

from http import HTTPStatus
from itertools import zip_longest
from typing import TYPE_CHECKING

from collector.contract.date_ranges import floor
from collector.contract.errors import TOO_COSTLY, ApiError, ErrorCode, bad_request
from collector.model import Slice, Window
from collector.radar.errors import RateLimited, Refused, TooCostly
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest
    from collector.radar.errors import RadarError
    from collector.serve.radar_api.answer import QueryResult

LIMITED = ErrorCode(HTTPStatus.TOO_MANY_REQUESTS, 10000)
NO_GATEWAY = ErrorCode(HTTPStatus.BAD_GATEWAY, 2000)


def missing_slices(request: ApiRequest, result: QueryResult | None, now: datetime) -> list[Slice]:
    """Return a slice for each series that lacks a bucket which has closed by *now*; all of them without a *result*."""
    answered = result.request if result else request
    step = answered.agg_interval.seconds
    found = []
    for one, data in zip_longest(answered.series, result.series if result else ()):
        end = min(one.end, floor(now.timestamp(), step, one.start))
        if one.start < end and (data is None or len(data.timestamps) < (end - one.start) // step):
            found.append(Slice(one.query, Window(from_epoch(one.start), from_epoch(end))))
    return list(dict.fromkeys(found))


def upstream_error(error: RadarError, now: datetime, stored: ApiError | None = None) -> ApiError:
    """Return an error of Radar in the API's form, without Radar's text.

    *stored* is why the history cannot answer; its message is appended.
    """
    found = _error(error, now)
    if stored is None:
        return found
    return ApiError(found.error_code, f"{found.message}. {stored.message}", retry_after=found.retry_after)


def _error(error: RadarError, now: datetime) -> ApiError:
    if isinstance(error, RateLimited):
        seconds = max(1, round((error.not_before - now).total_seconds()))
        return ApiError(LIMITED, "Not in the history, and Radar may not be asked now", retry_after=str(seconds))
    if isinstance(error, TooCostly):
        return ApiError(TOO_COSTLY, "Not in the history, and too much to ask of Radar for one question")
    if isinstance(error, Refused):
        return bad_request("Not in the history, and Radar does not answer this question")
    return ApiError(NO_GATEWAY, "Not in the history, and Radar could not be asked")

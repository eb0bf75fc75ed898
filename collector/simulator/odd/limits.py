"""Variations of limits: how a request that is too large fails, and what the simulator's own switches reject or omit.

A request is too large if its window is longer than a day and than eight buckets, or if its series have more than 400
buckets together.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from collector.contract.response import BAD_REQUEST, TOO_COSTLY, ErrorCode, HttpReply, envelope
from collector.interval import AggInterval, Grid
from collector.simulator.odd.variation import Draft, Variation
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_DAY = 86_400
_BUCKETS = 8
_PRODUCT = 400
_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>Error {0}</h1></body></html>"
_COARSER = {
    AggInterval.FIFTEEN_MINUTES: AggInterval.ONE_HOUR,
    AggInterval.ONE_HOUR: AggInterval.ONE_DAY,
    AggInterval.ONE_DAY: AggInterval.ONE_WEEK,
}


def _most(draft: Draft) -> int:
    """Return the largest number of buckets of a window."""
    return max(_BUCKETS, _DAY // draft.step)


def _is_long(draft: Draft) -> bool:
    return any(requested.end - requested.start > _most(draft) * draft.step for requested in draft.request.series)


def _is_large(draft: Draft) -> bool:
    return draft.request.buckets > _PRODUCT


def _instead(reply: HttpReply, is_too_large: Callable[[Draft], bool]) -> Callable[[Draft], None]:
    """Return a change that replaces the answer to a request that is too large by *reply*."""

    def change(draft: Draft) -> None:
        if is_too_large(draft):
            draft.instead = reply

    return change


def _html(status: int) -> HttpReply:
    return HttpReply(status, _PAGE.format(status).encode(), content_type="text/html; charset=UTF-8")


def _error(status: int, code: int, message: str) -> HttpReply:
    return HttpReply(status, envelope(code, message))


def _coarsened(*, says_so: bool) -> Callable[[Draft], None]:
    """Return a change that answers a long window at the next coarser interval."""

    def change(draft: Draft) -> None:
        coarser = _COARSER.get(draft.request.agg_interval)
        if coarser is None or not _is_long(draft):
            return
        for requested, series in zip(draft.request.series, draft.series, strict=True):
            query = replace(requested.query, agg_interval=coarser)
            start, end = (int(coarser.floor(from_epoch(at)).timestamp()) for at in (requested.start, requested.end))
            moments, texts = draft.honest(query, start, end)
            series["timestamps"] = [rfc3339(from_epoch(moment)) for moment in moments]
            series["values"] = [*texts]
        if says_so:
            draft.meta["aggInterval"] = coarser.name
        else:
            del draft.meta["aggInterval"]

    return change


def _newest(draft: Draft) -> None:
    """Keep only the newest buckets of a long window."""
    if _is_long(draft):
        for series in draft.series:
            for key in series:
                series[key] = series[key][-_most(draft) :]


_REPLIES: tuple[tuple[str, str, HttpReply], ...] = (
    ("400-html", "400 with an HTML page", _html(400)),
    ("404", "404/7003", _error(404, 7003, "not found")),
    ("413", "413", _error(413, 2001, "too large")),
    ("414", "414", _error(414, 2001, "URI too long")),
    ("500", "500/2000", _error(500, 2000, "Internal error")),
    ("502", "502 with an HTML page", _html(502)),
    ("503", "503 with an HTML page", _html(503)),
    ("504", "504 with an HTML page", _html(504)),
    ("524", "524 with an HTML page", _html(524)),
    ("false", "200 with success: false", _error(HTTPStatus.OK, 2000, "Internal error")),
    ("empty-body", "200 with nothing", HttpReply(HTTPStatus.OK, b"")),
    ("html-200", "200 with an HTML page", _html(200)),
)

LIMITS = (
    *(
        Variation(f"span-{name}", "limits", f"A long window: {line}", "take", "limits", _instead(reply, _is_long))
        for name, line, reply in _REPLIES
    ),
    *(
        Variation(f"product-{name}", "limits", f"Many buckets: {line}", "take", "limits", _instead(reply, _is_large))
        for name, line, reply in _REPLIES
    ),
    Variation(
        "coarsen",
        "limits",
        "A long window: the next coarser interval",
        "take",
        "limits",
        _coarsened(says_so=True),
        of_groups=False,
    ),
    Variation(
        "coarsen-unsaid",
        "limits",
        "A long window: the next coarser interval, without a word",
        "take",
        "limits meta.aggInterval",
        _coarsened(says_so=False),
        of_groups=False,
    ),
    Variation("cap-newest", "limits", "A long window: its newest buckets, without a word", "take", "limits", _newest),
)


_SHORT_SPANS: Mapping[AggInterval, timedelta] = MappingProxyType(
    {interval: max(timedelta(days=1), 8 * interval.step) for interval in AggInterval}
)
_HOUR, _A_DAY, _WEEK = AggInterval.ONE_HOUR, AggInterval.ONE_DAY, AggInterval.ONE_WEEK
_NOT_FOUND = ErrorCode(404, 2001)
_FAILED = ErrorCode(500, 2000)

_ROWS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("span-400", "More than a day, or than eight buckets, is too fine: 400", "span", {"span_error": BAD_REQUEST}),
    ("span-422", "More than a day, or than eight buckets, is too costly: 422", "span", {"span_error": TOO_COSTLY}),
    ("one-series-400", "More than one series: 400", "series", {"series_error": BAD_REQUEST}),
    ("one-series-422", "More than one series: 422", "series", {"series_error": TOO_COSTLY}),
    ("url-short", "A URL of more than 400 bytes: 414", "url", {"url_bytes": 400}),
    ("positions-empty-refused", "An empty filter at one position is refused", "positions", {"empty_values": False}),
    ("unfinished-partial", "Buckets are published before they have closed", "unfinished", {}),
    ("lag-none", "lastUpdated is the present", "lag", {"lag": timedelta(0)}),
    ("retention-400", "Nothing older than 30 days: 400", "retention", {"before_data": BAD_REQUEST}),
    ("retention-404", "Nothing older than 30 days: 404", "retention", {"before_data": _NOT_FOUND}),
    ("retention-500", "Nothing older than 30 days: 500", "retention", {"before_data": _FAILED}),
    ("retention-silent", "Nothing older than 30 days, without a word", "retention", {"before_data": None}),
    ("week-sunday", "Weeks start on Sunday", "grid", {"grids": {_WEEK: Grid(_WEEK, timedelta(days=6))}}),
    ("week-thursday", "Weeks start on Thursday", "grid", {"grids": {_WEEK: Grid(_WEEK, timedelta(days=3))}}),
    ("week-range", "Weeks start where the range does", "grid", {"grids": {_WEEK: None}}),
    ("day-eight", "Days start at 8:00 UTC", "grid", {"grids": {_A_DAY: Grid(_A_DAY, timedelta(hours=8))}}),
    ("day-evening", "Days start at 19:00 UTC", "grid", {"grids": {_A_DAY: Grid(_A_DAY, timedelta(hours=19))}}),
    ("hour-half-past", "Hours start at half past", "grid", {"grids": {_HOUR: Grid(_HOUR, timedelta(minutes=30))}}),
    ("rate-headers-none", "No headers about rate limits", "rate", {"rate_headers": "none"}),
    ("rate-headers-x", "X-RateLimit headers", "rate", {"rate_headers": "x"}),
    ("never-compressed", "Never compressed", "compressed", {"compress": False}),
)
_OF_PART: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "span": {"max_span": _SHORT_SPANS},
        "series": {"series_per_request": 1},
        "unfinished": {"unfinished": "partial", "unfinished_coarse": "partial"},
        "retention": {"retention": timedelta(days=30)},
    }
)
"""Switches that all variations of a part share."""

BEHAVIOUR = tuple(
    Variation(name, "behaviour", line, "take", f"behaviour.{part}", options={**_OF_PART.get(part, {}), **options})
    for name, line, part, options in _ROWS
)

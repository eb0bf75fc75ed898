"""Variations of what the upstream does, by its own switches: what it refuses, leaves out and says of limits."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from collector.contract.errors import BAD_REQUEST, TOO_COSTLY, ErrorCode
from collector.interval import Grid
from collector.model import AggInterval
from collector.simulator.odd.variation import Variation

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHORT_SPANS: Mapping[AggInterval, timedelta] = MappingProxyType(
    {one: max(timedelta(days=1), 8 * one.step) for one in AggInterval}
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

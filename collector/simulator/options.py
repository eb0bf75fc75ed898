"""The switches of the simulated API. Whatever is publicly unknown about the real one is a switch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from collector.contract.response import BAD_REQUEST, URI_TOO_LONG, WRONG_CREDENTIALS, ErrorCode
from collector.interval import AggInterval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.interval import Grid
    from collector.model import Annotation
    from collector.simulator.catalogue import CatalogueOptions

MAX_SPAN: Mapping[AggInterval, timedelta] = MappingProxyType(
    {interval: interval.properties.simulated_span for interval in AggInterval}
)
"""The longest span answered at each interval; the real thresholds are not published."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most *requests* in any sliding *window*; one more blocks every call for *block*."""

    requests: int = 1200
    window: timedelta = timedelta(minutes=5)
    block: timedelta = timedelta(minutes=5)


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Life:
    """The days, from the one of *start* up to the one of *end*, in which a value of a filter occurs."""

    start: datetime = _EARLIEST
    end: datetime = _LATEST


@dataclass(frozen=True, slots=True)
class WrongGroups:
    """The largest group has *add* too many in the buckets that start from *start* up to *end*."""

    start: datetime
    end: datetime
    add: int


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """The switches of the simulated API. Each default is the most plausible one by public captures and documents.

    Data: *seed*. *lag* of `lastUpdated` behind the clock, on a 15-minute grid. *unfinished*: whether the newest bucket
    that has not closed is omitted or partial at 15m and 1h, *unfinished_coarse* the same at 1d and 1w. *revised_for*:
    how long a value may change after its bucket closed. There are no buckets before *data_since*, none before the day
    *retention* ago, and none of a filter value before its moment in *began*. *before_data* is the error for a request
    that starts earlier (None: the answer omits the buckets). *unknown_names*: what a text value outside the synthetic
    data gets: a small share of its own, zeros, or an error. *grids*: where buckets start, each on a slot of 15 minutes
    (None: at the start of the range; an interval that is absent has the usual grid). *unit* (None: the dataset's).

    Answer: *annotations* replace the generated ones. *ongoing_since* starts an annotation without an end, which the
    API has although its published contract does not allow it. *adjusted_end* is what `dateRange.endTime` names: the
    start of the last requested bucket, its end, or the requested moment. *odd*: names of variations, see `odd`.

    Limits: *max_span* for each interval, *series_per_request* and *url_bytes*, each with its error. *default_range* is
    the `dateRange` of a series without a date (None: such a series is rejected).

    Beside the time series: *siblings* is what summary, timeseries_groups, authorities and logs answer: that there is no
    such route, 404 without an envelope, data, or an error. With *catalogue*, authorities and logs are served whatever
    *siblings* is; None: by *siblings*.

    Groups: *most_groups* is the largest `limitPerGroup` (None: any); a larger one is rejected, or *too_many_groups*
    `fewer` counts as it. *other_group*: the sum of the groups that are not listed is sent. *positional_groups*: several
    series in one request are answered, only the first is, or they are rejected. *group_keys* `other` spells groups
    otherwise than the filter's values. *group_normalization* is sent whatever was requested. *more_values* adds so many
    made-up values to a text filter. *lives* limits values to some days; then the others share the whole.
    *wrong_groups* makes the sum of the groups differ from the total.

    Access: any well-formed credentials are accepted, unless *token* or *email_and_key* is set. At least the last
    *remembered_requests* are kept.
    """

    seed: int = 0
    lag: timedelta = timedelta(minutes=45)
    unfinished: Literal["omitted", "partial"] = "omitted"
    unfinished_coarse: Literal["omitted", "partial"] = "omitted"
    revised_for: timedelta = timedelta(days=3)
    data_since: datetime | None = None
    retention: timedelta | None = None
    began: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    before_data: ErrorCode | None = None
    unknown_names: Literal["share", "zero", "refuse"] = "share"
    grids: Mapping[AggInterval, Grid | None] = field(default_factory=dict)

    normalization: str = "RAW_VALUES"
    unit: str | None = None
    annotations: tuple[Annotation, ...] | None = None
    ongoing_since: datetime | None = datetime(2025, 3, 1, tzinfo=UTC)
    confidence_level: int | None = 5
    value_style: Literal["integer", "decimal"] = "integer"
    timestamp_style: Literal["seconds", "milliseconds"] = "seconds"
    date_range_style: Literal["array", "object"] = "array"
    adjusted_end: Literal["last", "next", "asked"] = "last"
    messages: bool = False
    odd: tuple[str, ...] = ()
    compress: bool = True

    max_span: Mapping[AggInterval, timedelta] = field(default_factory=lambda: MAX_SPAN)
    span_error: ErrorCode = BAD_REQUEST
    series_per_request: int = 100
    series_error: ErrorCode = BAD_REQUEST
    url_bytes: int = 8192
    url_error: ErrorCode = URI_TOO_LONG
    default_range: str | None = "7d"
    empty_values: bool = True
    equal_names: Literal["refuse", "overwrite"] = "refuse"

    siblings: Literal["no route", "not found", "served"] | ErrorCode = "served"
    catalogue: CatalogueOptions | None = None
    most_groups: int | None = None
    too_many_groups: Literal["refuse", "fewer"] = "refuse"
    other_group: bool = True
    positional_groups: Literal["all", "first", "refuse"] = "all"
    group_keys: Literal["filter", "other"] = "filter"
    group_normalization: str | None = None
    more_values: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    lives: Mapping[str, Life] = field(default_factory=lambda: MappingProxyType({}))
    wrong_groups: WrongGroups | None = None

    token: str | None = field(default=None, repr=False)
    email_and_key: tuple[str, str] | None = field(default=None, repr=False)
    wrong_credentials: ErrorCode = WRONG_CREDENTIALS
    rate_limit: RateLimit | None = RateLimit()
    rate_limit_code: int = 1015
    rate_headers: Literal["none", "x", "policy"] = "policy"
    remembered_requests: int = 100_000

"""What Radar answers, in Radar's words, as plain frozen values.

Moments are aware `datetime`s in UTC. Only where a series' values stand side by side by the thousand are timestamps
integers of epoch seconds, as the store keeps them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from collector.interval import AggInterval as AggInterval  # noqa: PLC0414, TC001 - a word of the model
from collector.timestamps import from_epoch as from_epoch  # noqa: PLC0414 - a word of the model
from collector.timestamps import rfc3339 as rfc3339  # noqa: PLC0414
from collector.timestamps import utc as utc  # noqa: PLC0414
from collector.timestamps import utc_now as utc_now  # noqa: PLC0414
from collector.windows import hull

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

DATASET = "ct"
"""The Radar dataset that is collected today; part of a series' identity so that others can join it."""

UNKNOWN_LAST_UPDATED = datetime.max.replace(tzinfo=UTC)
"""The lastUpdated of an answer that names none. Like any other one ahead of the present, it counts as the present less
the usual lag."""


class Normalization(StrEnum):
    """The normalizations whose values compare across requests; any other one is only true within one answer."""

    RAW_VALUES = "RAW_VALUES"
    PERCENTAGE = "PERCENTAGE"


def is_absolute(normalization: str) -> bool:
    """Tell whether values of two answers with this normalization may stand in one history."""
    return spelling_free(normalization) in _ABSOLUTE


def is_known(normalization: str) -> bool:
    """Tell whether the API's description has this word, so that its meaning is known."""
    return spelling_free(normalization) in _KNOWN


def spelling_free(word: str) -> str:
    """Return a unit or normalization without case and blanks, to compare it: `Certificates ` is `certificates`."""
    # Several units are written `name=value, name=value` in an order that depends on case.
    return ",".join(sorted("".join(word.split()).casefold().split(",")))


def known_spelling(normalization: str) -> str:
    """Return the spelling of Normalization if *normalization* differs from it in case and blanks at most."""
    return _ABSOLUTE.get(spelling_free(normalization), normalization)


RELATIVE_WORDS = (
    "MIN0_MAX",
    "MIN_MAX",
    "PERCENTAGE_CHANGE",
    "ROLLING_AVERAGE",
    "OVERLAPPED_PERCENTAGE",
    "RATIO",
)
"""The normalizations whose values hold within one answer only."""
_ABSOLUTE = {spelling_free(known): known.value for known in Normalization}
_KNOWN = {*_ABSOLUTE, *map(spelling_free, RELATIVE_WORDS)}


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The buckets from *start* up to, not including, *end*; both on the bucket grid. `windows` has their algebra."""

    start: datetime
    end: datetime

    def __iter__(self) -> Iterator[datetime]:
        yield self.start
        yield self.end

    def __getitem__(self, index: int) -> datetime:
        return (self.start, self.end)[index]

    @property
    def duration(self) -> timedelta:
        """Length of the window."""
        return self.end - self.start

    def overlaps(self, other: Window) -> bool:
        """Tell whether the two share a moment."""
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        return f"{rfc3339(self.start)}..{rfc3339(self.end)}"


class RequestKind(NamedTuple):
    """What all queries of one request have in common; the limits on the size of a request are learned for each kind."""

    dataset: str
    agg_interval: AggInterval


@dataclass(frozen=True)
class Question:
    """What one position of a request asks for: all of a series' identity that is known before the answer.

    *filters* maps the API's parameter names to their values; a list is OR. *dimension* and *group* are empty for
    `timeseries` and leave room for `timeseries_groups`.
    """

    agg_interval: AggInterval
    filters: Mapping[str, tuple[str, ...]]
    dataset: str = DATASET
    dimension: str = ""
    group: str = ""

    @property
    def request_kind(self) -> RequestKind:
        """The kind of the requests that can carry this question."""
        return RequestKind(self.dataset, self.agg_interval)

    @cached_property
    def filters_json(self) -> str:
        """The filters in their one canonical spelling: JSON, keys and values sorted, no blanks."""
        ordered = {name: sorted(set(values)) for name, values in sorted(self.filters.items())}
        return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def key(self) -> tuple[str, str, str, str, str]:
        """(dataset, dimension, group, agg_interval, filters): equal for two questions that ask for the same thing."""
        return (self.dataset, self.dimension, self.group, self.agg_interval.value, self.filters_json)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the key: short enough for an index, however many filters there are."""
        return hashlib.sha256(json.dumps(self.key).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Question) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class Slice:
    """One series over one window: what one position of a request asks for."""

    series: Question
    window: Window

    @property
    def buckets(self) -> int:
        """How many buckets the window holds."""
        return self.window.duration // self.series.agg_interval.step


@dataclass(frozen=True, slots=True)
class Batch:
    """The slices of one request, in the order of their positions: of one kind and of equal duration."""

    slices: tuple[Slice, ...]

    @property
    def agg_interval(self) -> AggInterval:
        """The one bucket width of all slices."""
        return self.slices[0].series.agg_interval

    @property
    def request_kind(self) -> RequestKind:
        """The one kind of all slices."""
        return self.slices[0].series.request_kind

    @property
    def duration(self) -> timedelta:
        """The one duration of all windows."""
        return self.slices[0].window.duration

    @property
    def buckets(self) -> int:
        """How many buckets the answer can hold, over all slices."""
        return len(self.slices) * (self.duration // self.agg_interval.step)

    def without(self, positions: Collection[int]) -> Batch:
        """Leave out the slices at *positions*."""
        return Batch(tuple(piece for number, piece in enumerate(self.slices) if number not in positions))

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows of the slices, one per position."""
        return tuple(piece.window for piece in self.slices)

    def __str__(self) -> str:
        """Write `34 x 15m over A..B in 3 windows`: A..B is the hull of all windows."""
        different = set(self.windows)
        windows = f" in {len(different)} windows" if len(different) > 1 else ""
        return f"{len(self.slices)} x {self.agg_interval} over {hull(different)}{windows}"


@dataclass(frozen=True, slots=True)
class Points:
    """Values of one slice, ascending: *timestamps* in epoch seconds (start of bucket), *values* finite."""

    timestamps: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, slots=True, order=True)
class Annotation:
    """A remark of Cloudflare's on the data: an outage, an event, a change of the pipeline.

    A text is None if the answer had null, or left it out.
    """

    start_date: datetime
    end_date: datetime | None
    data_source: str | None
    event_type: str | None
    description: str | None
    linked_url: str | None
    is_instantaneous: bool
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Meta:
    """What an answer says of itself. *date_ranges* are the adjusted ranges (startTime, endTime), one per slice.

    An empty *normalization* or *unit* and a range of None were not named; *last_updated* is UNKNOWN_LAST_UPDATED then.
    *unit_names* are the names beside the one unit, empty if there are none or *unit* holds them.
    """

    agg_interval: AggInterval
    last_updated: datetime
    normalization: str
    unit: str
    confidence_level: int | None
    date_ranges: tuple[tuple[datetime, datetime] | None, ...]
    annotations: tuple[Annotation, ...]
    unit_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a response as it came, inflated, without our credentials: *content*, of HTTP *status*.

    If it is not *whole*, *content* is its beginning; *received_at* is the moment at which the headers came.
    """

    content: bytes
    status: int
    received_at: datetime
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A trusted answer: *series* holds the points of each slice, in the order of the batch, without the *missing* ones.

    *missing* are the positions of slices whose series did not come while others did. *deviations* says what the answer
    has otherwise than usual, without harm.
    """

    meta: Meta
    series: tuple[Points, ...]
    missing: frozenset[int] = frozenset()
    deviations: tuple[str, ...] = ()

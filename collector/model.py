"""Requests to Radar and their answers, in Radar's words, as frozen values.

Times are aware `datetime`s in UTC. The timestamps of Points are integers of epoch seconds, as in the store, because
there are many.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from collector.timestamps import rfc3339
from collector.windows import hull

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from collector.interval import AggInterval

DATASET = "ct"
"""The name of the dataset of a question that names none. It is a part of the identity of a series."""

UNKNOWN_LAST_UPDATED = datetime.max.replace(tzinfo=UTC)
"""The lastUpdated of an answer that has none. Like any lastUpdated after the present, it counts as the present less the
usual lag."""


class Normalization(StrEnum):
    """The normalizations whose values can be compared across answers. Other values hold only within one answer."""

    RAW_VALUES = "RAW_VALUES"
    PERCENTAGE = "PERCENTAGE"


def is_absolute(normalization: str) -> bool:
    """Return whether values of several answers with this normalization can form one history."""
    return spelling_free(normalization) in _ABSOLUTE


def is_known(normalization: str) -> bool:
    """Return whether the API's description has this word, so that its meaning is known."""
    return spelling_free(normalization) in _KNOWN


def spelling_free(word: str) -> str:
    """Return a unit or normalization in lower case without blanks, to compare it: `RawValues ` becomes `rawvalues`."""
    # Several units are written `name=value, name=value` in an order that depends on case.
    return ",".join(sorted("".join(word.split()).casefold().split(",")))


def known_spelling(normalization: str) -> str:
    """Return the spelling of Normalization if *normalization* differs from it only in case and blanks."""
    return _ABSOLUTE.get(spelling_free(normalization), normalization)


RELATIVE_WORDS = (
    "MIN0_MAX",
    "MIN_MAX",
    "PERCENTAGE_CHANGE",
    "ROLLING_AVERAGE",
    "OVERLAPPED_PERCENTAGE",
    "RATIO",
)
"""The normalizations whose values hold only within one answer."""
_ABSOLUTE = {spelling_free(known): known.value for known in Normalization}
_KNOWN = {*_ABSOLUTE, *map(spelling_free, RELATIVE_WORDS)}


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The buckets from *start* until before *end*; both on the bucket grid. The module `windows` has the algebra."""

    # not a named tuple, because `asdict` must return `start` and `end` by name for /api/v1 and reports

    start: datetime
    end: datetime

    def __iter__(self) -> Iterator[datetime]:
        yield self.start
        yield self.end

    def __getitem__(self, index: int) -> datetime:
        return (self.start, self.end)[index]

    @property
    def duration(self) -> timedelta:
        """The length of the window."""
        return self.end - self.start

    def overlaps(self, other: Window) -> bool:
        """Return whether the two windows have a time in common."""
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        return f"{rfc3339(self.start)}..{rfc3339(self.end)}"


class RequestKind(NamedTuple):
    """The properties that all slices of a request share; the size limits of requests are learned for each kind."""

    dataset: str
    agg_interval: AggInterval
    dimension: str = ""


@dataclass(frozen=True)
class Question:
    """What one position of a request asks for: the part of a series' identity that is known before the answer.

    *filters* maps the API's parameter names to values; several values mean OR. A question with a *dimension* is
    answered by one series for each of its groups. Its own series holds their sum. Each group is a series whose question
    has the *group*, too; it is never requested alone. *normalization* is what is asked for, empty for what the API
    chooses. *most_groups* is how many groups to ask for, 0 for as many as the API gives; it is no part of the identity,
    because it says nothing about what a value means.
    """

    agg_interval: AggInterval
    filters: Mapping[str, tuple[str, ...]]
    dataset: str = DATASET
    dimension: str = ""
    group: str = ""
    normalization: str = ""
    most_groups: int = 0

    @property
    def request_kind(self) -> RequestKind:
        """The kind of the requests that can contain this question."""
        return RequestKind(self.dataset, self.agg_interval, self.dimension)

    @property
    def parameters(self) -> tuple[str, str, int]:
        """What all positions of a request share beside the interval: dimension, normalization, number of groups."""
        return self.dimension, self.normalization, self.most_groups

    @property
    def has_groups(self) -> bool:
        """Whether the answer has a series for each group."""
        return bool(self.dimension) and not self.group

    def of_group(self, group: str) -> Question:
        """Return the question that the series of a *group* of this one belongs to."""
        return replace(self, group=group, most_groups=0)

    @cached_property
    def filters_json(self) -> str:
        """The filters as canonical JSON: keys and values sorted, no blanks."""
        ordered = {name: sorted(set(values)) for name, values in sorted(self.filters.items())}
        return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def key(self) -> tuple[str, ...]:
        """(dataset, dimension, group, agg_interval, filters): equal for equal questions.

        A normalization that is asked for follows, so that digests of questions without one stay as they were.
        """
        asked = (self.normalization,) if self.normalization else ()
        return (self.dataset, self.dimension, self.group, self.agg_interval.value, self.filters_json, *asked)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the key, which is short enough for an index."""
        return hashlib.sha256(json.dumps(self.key).encode()).hexdigest()

    @cached_property
    def _hash(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Question) and self.key == other.key)

    def __hash__(self) -> int:
        return self._hash


class Slice(NamedTuple):
    """One question over one window: one position of a request."""

    series: Question
    window: Window

    @property
    def buckets(self) -> int:
        """The number of buckets in the window."""
        return self.window.duration // self.series.agg_interval.step


@dataclass(frozen=True, slots=True)
class Batch:
    """The slices of one request, in the order of their positions: of one kind and of equal duration."""

    slices: tuple[Slice, ...]

    @property
    def agg_interval(self) -> AggInterval:
        """The interval of all slices."""
        return self.slices[0].series.agg_interval

    @property
    def request_kind(self) -> RequestKind:
        """The kind of all slices."""
        return self.slices[0].series.request_kind

    @property
    def duration(self) -> timedelta:
        """The length of every window."""
        return self.slices[0].window.duration

    @property
    def buckets(self) -> int:
        """The maximum number of buckets in the answer, over all slices."""
        return len(self.slices) * (self.duration // self.agg_interval.step)

    def without(self, positions: Collection[int]) -> Batch:
        """Return the batch without the slices at *positions*."""
        return Batch(tuple(slice_ for number, slice_ in enumerate(self.slices) if number not in positions))

    @property
    def windows(self) -> tuple[Window, ...]:
        """The window of each slice."""
        return tuple(slice_.window for slice_ in self.slices)

    def __str__(self) -> str:
        """Return `34 x 15m over A..B in 3 windows`; A..B is the hull of all windows."""
        different = set(self.windows)
        windows = f" in {len(different)} windows" if len(different) > 1 else ""
        return f"{len(self.slices)} x {self.agg_interval} over {hull(different)}{windows}"


@dataclass(frozen=True, slots=True)
class PathRequest(Batch):
    """A request to a path that has no series, with its encoded *query*; on record with both."""

    slices: tuple[Slice, ...] = ()
    path: str = ""
    query: str = ""

    def __str__(self) -> str:
        """Return `GET PATH?QUERY`."""
        return f"GET {self.path}?{self.query}"


@dataclass(frozen=True, slots=True)
class Points:
    """The values of one slice, ascending: *timestamps* are bucket starts in epoch seconds, *values* are finite."""

    timestamps: Sequence[int]
    values: Sequence[float]


class Remainder(NamedTuple):
    """What is left of a bucket beside the listed groups (*other*), and the *smallest* of these in the whole window."""

    other: float
    smallest: float

    @property
    def most(self) -> float:
        """The most that a group may have that is not listed in the bucket."""
        return min(self.other, self.smallest)


@dataclass(frozen=True, slots=True)
class GroupedPoints(Points):
    """The values of one slice of a question with a dimension: in each bucket the sum of all groups with the remainder.

    *groups* has the points of each group that the answer lists. *remainders* has those buckets, in epoch seconds, where
    something is left beside them; in every other bucket, a group that is absent has nothing.
    """

    groups: Mapping[str, Points] = field(default_factory=dict)
    remainders: Mapping[int, Remainder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Annotation:
    """A note of Cloudflare on the data: an outage, an event, a change of the pipeline.

    A text is None if the answer had null or lacked it.
    """

    start_date: datetime
    end_date: datetime | None
    data_source: str | None
    event_type: str | None
    description: str | None
    linked_url: str | None
    is_instantaneous: bool
    tags: tuple[str, ...] = ()


class Meta(NamedTuple):
    """The metadata of an answer. *date_ranges* are the adjusted ranges (startTime, endTime), one for each slice.

    If the answer lacks one of them, *normalization* and *unit* are empty, a range is None, and *last_updated* is
    UNKNOWN_LAST_UPDATED. *unit_names* are the names of the single unit; empty if there are none, or if *unit*
    contains them.
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
    """The decompressed body of a response with HTTP *status*, without our credentials.

    If it is not *whole*, *content* is its beginning. *received_at* is when the headers arrived.
    """

    content: bytes
    status: int
    received_at: datetime
    whole: bool = True


class Answer(NamedTuple):
    """A checked answer: *series* has the points of each slice, in the order of the batch, without the *missing* ones.

    *missing* are the positions of slices whose series the answer lacks. *deviations* are sentences about harmless
    differences from the documented form.
    """

    meta: Meta
    series: tuple[Points, ...]
    missing: frozenset[int] = frozenset()
    deviations: tuple[str, ...] = ()

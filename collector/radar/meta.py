"""What an answer says of itself (`result.meta`), checked against what was asked."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from collector.model import AggInterval, Annotation, Meta, rfc3339
from collector.radar.errors import Untrusted

if TYPE_CHECKING:
    from collector.model import Batch, Window

_MOST_ANNOTATIONS = 1_000
_MOST_LEVEL = 2**31 - 1  # what a column holds
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?!24)[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)  # RFC 3339; Python's own reader takes weeks, commas and whatever else ISO 8601 has


def _moment(text: Any) -> datetime:
    if not isinstance(text, str):
        raise ValueError("not a date-time as text")  # noqa: TRY004 - pydantic reports ValueError
    if not _DATE_TIME.fullmatch(text):
        raise ValueError("not a date-time with a zone")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        raise ValueError("a date-time outside the years 1 to 9999") from None


def _storable(text: Any) -> Any:
    """Replace what no database keeps: NUL, and halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd") if isinstance(text, str) else text


_Moment = Annotated[datetime, BeforeValidator(_moment)]
_Text = Annotated[str, BeforeValidator(_storable), Field(max_length=20_000)]
_Optional = Annotated[
    str, BeforeValidator(lambda text: _storable("" if text is None else text)), Field(max_length=20_000)
]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, strict=True, frozen=True)


class _Annotation(_Part):
    data_source: _Text
    event_type: _Text
    description: _Optional
    start_date: _Moment
    end_date: _Moment | None
    linked_url: _Optional = ""
    is_instantaneous: bool
    tags: list[_Text] | None = None

    def plain(self) -> Annotation:
        return Annotation(
            start_date=self.start_date,
            end_date=self.end_date,
            data_source=self.data_source,
            event_type=self.event_type,
            description=self.description,
            linked_url=self.linked_url,
            is_instantaneous=self.is_instantaneous,
            tags=tuple(sorted(self.tags or ())),
        )


class _Confidence(_Part):
    level: Annotated[int, Field(ge=-_MOST_LEVEL - 1, le=_MOST_LEVEL)] | None
    annotations: Annotated[list[_Annotation], Field(max_length=_MOST_ANNOTATIONS)]


class _Unit(_Part):
    name: _Text
    value: _Text


class _DateRange(_Part):
    start_time: _Moment
    end_time: _Moment


class _Meta(_Part):
    agg_interval: str
    last_updated: _Moment
    normalization: Annotated[_Text, Field(min_length=1)]
    units: list[_Unit]
    confidence_info: _Confidence | None
    date_range: list[_DateRange] | _DateRange


def read_meta(content: Any, batch: Batch) -> Meta:
    """Read `result.meta`; raise Untrusted where a key is missing or it speaks of something else than *batch*."""
    try:
        meta = _Meta.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Untrusted(f"meta.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if meta.agg_interval != batch.agg_interval.name:
        raise Untrusted(f"meta.aggInterval is {meta.agg_interval[:40]!r}, asked was {batch.agg_interval.name}")
    info = meta.confidence_info
    return Meta(
        agg_interval=batch.agg_interval,
        last_updated=meta.last_updated,
        normalization=meta.normalization,
        unit=_unit(meta.units),
        confidence_level=info.level if info else None,
        date_ranges=_date_ranges(meta.date_range, batch),
        annotations=tuple(sorted({annotation.plain() for annotation in info.annotations}, key=repr)) if info else (),
    )


def _unit(units: list[_Unit]) -> str:
    """The one unit's value; several are spelt `name=value, …` so that a change of any starts a new series."""
    if len(units) == 1:
        return units[0].value
    return ", ".join(sorted(f"{unit.name}={unit.value}" for unit in units))


def _date_ranges(found: list[_DateRange] | _DateRange, batch: Batch) -> tuple[tuple[datetime, datetime], ...]:
    ranges = found if isinstance(found, list) else [found]
    if len(ranges) == 1:  # older documents give one object for all
        ranges = ranges * len(batch.slices)
    if len(ranges) != len(batch.slices):
        raise Untrusted(f"meta.dateRange has {len(ranges)} ranges for {len(batch.slices)} series")
    for adjusted, piece in zip(ranges, batch.slices, strict=True):
        if not _covers(adjusted, piece.window, batch.agg_interval):
            found_range = f"{rfc3339(adjusted.start_time)}..{rfc3339(adjusted.end_time)}"
            raise Untrusted(f"meta.dateRange is {found_range}, asked was {piece.window}")
    return tuple((adjusted.start_time, adjusted.end_time) for adjusted in ranges)


def _covers(adjusted: _DateRange, window: Window, agg_interval: AggInterval) -> bool:
    """Accept the range as asked or widened to bucket edges, its end named inclusively or exclusively."""
    starts = window.start - agg_interval.step < adjusted.start_time <= window.start
    return starts and window.end - agg_interval.step <= adjusted.end_time <= window.end

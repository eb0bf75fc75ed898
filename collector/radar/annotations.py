"""Annotations of an answer, read as far as they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.model import Annotation
from collector.radar.scalars import member, text_of
from collector.radar.times import parse_answer_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from collector.radar.deviations import Deviations

_MOST_ANNOTATIONS = 10_000
_LONGEST_TEXT = 65_536
_YES = frozenset({"true", "yes", "1"})


def read_annotations(content: Any, deviations: Deviations) -> tuple[Annotation, ...]:
    """Read `confidenceInfo.annotations`: each once, sorted. One that has no readable start is left out."""
    if isinstance(content, dict) and content and all(isinstance(one, dict) for one in content.values()):
        content = [*content.values()]
    if content is not None and not isinstance(content, list):
        deviations.note("meta.confidenceInfo.annotations is no array")
    found = content if isinstance(content, list) else []
    if len(found) > _MOST_ANNOTATIONS:
        deviations.note(f"annotations beyond {_MOST_ANNOTATIONS} are left out")
    return tuple(sorted(set(_annotations(found[:_MOST_ANNOTATIONS], deviations)), key=repr))


def _annotations(found: list[Any], deviations: Deviations) -> Iterator[Annotation]:
    for content in found:
        start = parse_answer_time(member(content, "startDate", "start")) if isinstance(content, dict) else None
        if start is None:
            deviations.note("annotations without a readable start are left out")
            continue
        yield _annotation(content, start.at, deviations)


def _annotation(content: dict[str, Any], start: datetime, deviations: Deviations) -> Annotation:
    end = parse_answer_time(member(content, "endDate", "end"))
    texts = {key: text_of(member(content, key)) for key in ("dataSource", "eventType", "description", "linkedUrl")}
    if any(len(text) > _LONGEST_TEXT for text in texts.values()):
        deviations.note(f"texts of annotations beyond {_LONGEST_TEXT} characters are cut")
    return Annotation(
        start_date=start,
        end_date=end.at if end else None,
        data_source=texts["dataSource"][:_LONGEST_TEXT],
        event_type=texts["eventType"][:_LONGEST_TEXT],
        description=texts["description"][:_LONGEST_TEXT],
        linked_url=texts["linkedUrl"][:_LONGEST_TEXT],
        is_instantaneous=_flag(member(content, "isInstantaneous")),
        tags=_tags(member(content, "tags")),
    )


def _tags(content: Any) -> tuple[str, ...]:
    found = content if isinstance(content, list) else [content] if content else []
    return tuple(sorted({text_of(tag)[:_LONGEST_TEXT] for tag in found}))


def _flag(content: Any) -> bool:
    return content.strip().lower() in _YES if isinstance(content, str) else bool(content)

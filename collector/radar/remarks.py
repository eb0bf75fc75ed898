"""Annotations of an answer, and the small parts that they are made of: text, numbers, flags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from collector.model import Annotation
from collector.radar.moments import read_moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from collector.radar.deviations import Deviations

_MOST_ANNOTATIONS = 10_000
_LONGEST_TEXT = 65_536
_YES = frozenset({"true", "yes", "1"})


def read_annotations(content: Any, deviations: Deviations) -> tuple[Annotation, ...]:
    """Read `confidenceInfo.annotations`: each once, sorted. A remark that has no readable start is left out."""
    if content is not None and not isinstance(content, list):
        deviations.note("meta.confidenceInfo.annotations is no array")
    found = content if isinstance(content, list) else []
    if len(found) > _MOST_ANNOTATIONS:
        deviations.note(f"annotations beyond {_MOST_ANNOTATIONS} are left out")
    return tuple(sorted(set(_annotations(found[:_MOST_ANNOTATIONS], deviations)), key=repr))


def _annotations(found: list[Any], deviations: Deviations) -> Iterator[Annotation]:
    for content in found:
        start = read_moment(content.get("startDate")) if isinstance(content, dict) else None
        if start is None:
            deviations.note("annotations without a readable start are left out")
            continue
        yield _annotation(content, start.at, deviations)


def _annotation(content: dict[str, Any], start: datetime, deviations: Deviations) -> Annotation:
    end = read_moment(content.get("endDate"))
    texts = {key: text_of(content.get(key)) for key in ("dataSource", "eventType", "description", "linkedUrl")}
    if any(len(text) > _LONGEST_TEXT for text in texts.values()):
        deviations.note(f"texts of annotations beyond {_LONGEST_TEXT} characters are cut")
    return Annotation(
        start_date=start,
        end_date=end.at if end else None,
        data_source=texts["dataSource"][:_LONGEST_TEXT],
        event_type=texts["eventType"][:_LONGEST_TEXT],
        description=texts["description"][:_LONGEST_TEXT],
        linked_url=texts["linkedUrl"][:_LONGEST_TEXT],
        is_instantaneous=_flag(content.get("isInstantaneous")),
        tags=_tags(content.get("tags")),
    )


def _tags(content: Any) -> tuple[str, ...]:
    found = content if isinstance(content, list) else [content] if content else []
    return tuple(sorted({text_of(tag)[:_LONGEST_TEXT] for tag in found}))


def _flag(content: Any) -> bool:
    return content.strip().lower() in _YES if isinstance(content, str) else bool(content)


def text_of(content: Any) -> str:
    """Give a text that every database keeps: null is empty, an object is its JSON, NUL and halves of pairs replaced."""
    if content is None:
        return ""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, sort_keys=True)
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def read_number(content: Any) -> float | None:
    """Read a number or the text of one; None for anything else."""
    if isinstance(content, bool) or not isinstance(content, int | float | str):
        return None
    try:
        return float(content)
    except (ValueError, OverflowError):
        return None


def folded(word: str) -> str:
    """Return the letters and digits of *word* without case, to compare what differs in spelling alone."""
    return "".join(character for character in word.casefold() if character.isalnum())

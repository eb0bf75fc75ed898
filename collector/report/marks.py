"""Marks as documents: those of the operator, and the shipped list of policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.analysis.marks import POLICY

if TYPE_CHECKING:
    from datetime import datetime

    from collector.analysis.marks import Mark
    from collector.store import Reader


async def read_marks(store: Reader, start: datetime | None, end: datetime | None, *, policy: bool) -> list[Mark]:
    """Return the marks that touch a range, by date; with *policy* also the shipped ones."""
    marks = [*(await store.list_marks()), *(POLICY if policy else ())]
    return sorted((mark for mark in marks if mark.touches(start, end)), key=lambda mark: mark.start)


def mark_document(mark: Mark) -> dict[str, Any]:
    """Return a mark as JSON; a mark of the shipped list has no id."""
    return {
        "id": mark.id,
        "start": mark.start,
        "end": mark.end,
        "text": mark.text,
        "url": mark.url,
        "kind": "policy" if mark.policy else "own",
    }

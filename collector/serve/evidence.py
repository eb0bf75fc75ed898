"""What status says of kept bodies and of deviations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.store import Deviation, KeptBody


def deviation_document(one: Deviation) -> dict[str, Any]:
    """Write a deviation as the API shows it."""
    return {"kind": one.kind, "first_seen": one.first_seen, "fetch": one.fetch_id, "example": one.example}


def replay_warnings(bodies: Sequence[KeptBody]) -> list[str]:
    """Say how many refused answers an older version could not read, and this one has not tried to."""
    unread = sum(one.replayable and one.version != __version__ for one in bodies)
    if not unread:
        return []
    noun, them = ("1 refused answer was", "it") if unread == 1 else (f"{unread} refused answers were", "them")
    return [f"{noun} read by another version only: `collector replay` reads {them} again"]

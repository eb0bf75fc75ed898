"""Refused bodies, read again by this version: what they say fills buckets that are still absent."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.radar.client import RadarResponse, trusted_answer
from collector.radar.errors import RadarError
from collector.store import ReadBody, StoreCorrupt, keys_of

if TYPE_CHECKING:
    from datetime import datetime

    from collector.radar.client import TrustedAnswer
    from collector.store import KeptBody, Reader, Replayed, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What came of one kept body: so many buckets *filled*, under the fetch *replayed_by*.

    *reason* says why it is still refused, or what of it was left out.
    """

    body: int
    kind: str
    filled: int = 0
    reason: str | None = None
    replayed_by: int | None = None


async def rehearse(store: Reader, kept: KeptBody, now: datetime) -> ReplayOutcome:
    """Read a kept body again and say what `replay` would do."""
    try:
        reply = await _read(store, kept)
        found = await store.rehearse_replay(ReadBody(kept.fetch_id, reply.batch, reply.answer), now)
    except (RadarError, StoreCorrupt) as error:
        return ReplayOutcome(kept.fetch_id, kept.kind, reason=str(error))
    return _outcome(kept, found)


async def replay(store: Store, kept: KeptBody, now: datetime) -> ReplayOutcome:
    """Read a kept body again, and store what it says as far as it is absent; its questions pause no longer."""
    try:
        reply = await _read(store, kept)
    except (RadarError, StoreCorrupt) as error:
        await store.mark_read(kept.fetch_id)
        return ReplayOutcome(kept.fetch_id, kept.kind, reason=str(error))
    outcome = _outcome(kept, await store.replay(ReadBody(kept.fetch_id, reply.batch, reply.answer), now))
    if outcome.replayed_by is None:
        await store.mark_read(kept.fetch_id)
    else:
        await store.delete_refusals({key for piece in reply.batch.slices for key in keys_of(piece, now)})
    fields = {"body": outcome.body, "filled": outcome.filled, "reason": outcome.reason, "fetch": outcome.replayed_by}
    log.info("replay", extra=fields)
    return outcome


async def _read(store: Reader, kept: KeptBody) -> TrustedAnswer:
    content, question = await store.body(kept.fetch_id), await store.question(kept.fetch_id)
    if content is None or question is None:
        raise StoreCorrupt(f"the body of fetch {kept.fetch_id} is not kept any more")
    return trusted_answer(RadarResponse(kept.status, {}, content, kept.received_at), question)


def _outcome(kept: KeptBody, found: Replayed) -> ReplayOutcome:
    return ReplayOutcome(kept.fetch_id, kept.kind, found.filled, "; ".join(found.left_out) or None, found.replayed_by)

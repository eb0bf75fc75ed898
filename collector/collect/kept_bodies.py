"""Bodies of responses that are kept: rejected ones, and an example of each deviation from the documented form.

A later version may be able to read a rejected body. Replay then fills buckets that are still missing.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.radar.client import RadarResponse, trusted_answer
from collector.radar.errors import RadarError
from collector.store import NewBody, ReadBody, StoreCorrupt, StoreError, keys_of, pack, write_question

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from collector.model import Batch, Body
    from collector.radar.client import TrustedAnswer
    from collector.store import KeptBody, Reader, Replayed, Store

log = logging.getLogger(__name__)


async def keep_refused(store: Store, fetch_id: int, batch: Batch, kind: str, body: Body) -> None:
    """Keep the body of a rejected response. A failure of the store is only logged."""
    with _logging_failure(fetch_id):
        await store.keep_body(await _new_body(fetch_id, batch, kind, body))


async def keep_example(store: Store, fetch_id: int, batch: Batch, kinds: Sequence[str], body: Body) -> None:
    """Keep the body of an answer as the example of those *kinds* of deviation that have none.

    A failure of the store is only logged.
    """
    with _logging_failure(fetch_id):
        without_example = await store.kinds_without_example(kinds)
        if without_example:
            new = await _new_body(fetch_id, batch, f"deviation: {'; '.join(without_example)}", body)
            await store.keep_body(new, without_example)


@contextmanager
def _logging_failure(fetch_id: int) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        log.warning("evidence", extra={"outcome": "failed", "fetch": fetch_id, "reason": str(error)})


async def _new_body(fetch_id: int, batch: Batch, kind: str, body: Body) -> NewBody:
    packed = await asyncio.to_thread(pack, body.content, whole=body.whole)  # it may take a second
    question = write_question(batch)
    return NewBody(fetch_id, kind, body.received_at, body.status, len(body.content), packed, question)


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """The outcome of a replay: the number of buckets *filled*, under the fetch *replayed_by*.

    *reason*: why the body is still rejected, or which part was left out.
    """

    body: int
    kind: str
    filled: int = 0
    reason: str | None = None
    replayed_by: int | None = None


async def rehearse(store: Reader, kept: KeptBody, now: datetime) -> ReplayOutcome:
    """Parse a kept body again, and return what `replay` would do."""
    try:
        reply = await _read(store, kept)
        replayed = await store.rehearse_replay(ReadBody(kept.fetch_id, reply.batch, reply.answer), now)
    except (RadarError, StoreCorrupt) as error:
        return ReplayOutcome(kept.fetch_id, kept.kind, reason=str(error))
    return _outcome(kept, replayed)


async def replay(store: Store, kept: KeptBody, now: datetime) -> ReplayOutcome:
    """Parse a kept body again, and store the values of missing buckets. Refusals of its slices end."""
    try:
        reply = await _read(store, kept)
    except (RadarError, StoreCorrupt) as error:
        await store.mark_read(kept.fetch_id)
        return ReplayOutcome(kept.fetch_id, kept.kind, reason=str(error))
    outcome = _outcome(kept, await store.replay(ReadBody(kept.fetch_id, reply.batch, reply.answer), now))
    if outcome.replayed_by is None:
        await store.mark_read(kept.fetch_id)
    else:
        await store.delete_refusals({key for slice_ in reply.batch.slices for key in keys_of(slice_, now)})
    fields = {"body": outcome.body, "filled": outcome.filled, "reason": outcome.reason, "fetch": outcome.replayed_by}
    log.info("replay", extra=fields)
    return outcome


async def _read(store: Reader, kept: KeptBody) -> TrustedAnswer:
    content, question = await store.body(kept.fetch_id), await store.question(kept.fetch_id)
    if content is None or question is None:
        raise StoreCorrupt(f"the body of fetch {kept.fetch_id} is not kept any more")
    return trusted_answer(RadarResponse(kept.status, {}, content, kept.received_at), question)


def _outcome(kept: KeptBody, replayed: Replayed) -> ReplayOutcome:
    return ReplayOutcome(
        kept.fetch_id, kept.kind, replayed.filled, "; ".join(replayed.left_out) or None, replayed.replayed_by
    )

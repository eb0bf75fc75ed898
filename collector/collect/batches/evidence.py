"""What is kept as evidence of a response: made here, of a body and the question that it was the answer to."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from collector.store import NewBody, StoreError, pack, write_question

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.model import Batch, Body
    from collector.store import Store

log = logging.getLogger(__name__)


async def keep_refused(store: Store, fetch_id: int, batch: Batch, kind: str, body: Body) -> None:
    """Keep the body of a response that was refused. A store that cannot take it is a line in the log, no error."""
    with _logging_failure(fetch_id):
        await store.keep_body(await _new_body(fetch_id, batch, kind, body))


async def keep_example(store: Store, fetch_id: int, batch: Batch, kinds: Sequence[str], body: Body) -> None:
    """Keep the body of an answer as the example of those of these *kinds* of deviation that have none.

    A store that cannot take it is a line in the log, no error.
    """
    with _logging_failure(fetch_id):
        lacking = await store.kinds_without_example(kinds)
        if lacking:
            new = await _new_body(fetch_id, batch, f"deviation: {'; '.join(lacking)}", body)
            await store.keep_body(new, lacking)


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

"""What a snapshot can answer: nothing that lies outside of it. Pure decisions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from collector.model import from_epoch, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from collector.radar.parameters import Asked
    from collector.store import Snapshot


def refusal(asked: Asked, taken: Snapshot, now: datetime) -> str | None:
    """Say why *taken* cannot answer what is *asked* at *now*; None if it can.

    It begins later, or ends earlier than what Radar should have published since. The newest bucket, which Radar or the
    next pass is about to bring, is no fault.
    """
    interval = asked.query.agg_interval
    start, end = from_epoch(asked.start), from_epoch(asked.end)
    lag = max(taken.asked_at - taken.last_updated, timedelta(0))
    published = interval.floor(now - lag) - interval.step
    if taken.start <= start < taken.end and min(end, published) <= taken.end:
        return None
    return (
        f"The range {rfc3339(start)}..{rfc3339(end)} lies outside of the newest snapshot for these filters, which was "
        f"asked for at {rfc3339(taken.asked_at)} and covers {rfc3339(taken.start)}..{rfc3339(taken.end)}"
    )

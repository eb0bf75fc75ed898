"""What a reply shows of our clock: its `Date`, the lastUpdated beside it, and the end that was asked for. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from collector.clock_difference import NAMED_FROM, sample
from collector.radar.errors import InFuture, Refused
from collector.radar.failure import read_date
from collector.radar.query import SLOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from collector.clock_difference import ClockSample
    from collector.model import Batch
    from collector.radar.errors import RadarError


def clock_sample(headers: Mapping[str, str], sent_at: datetime, received_at: datetime) -> ClockSample | None:
    """Return what the `Date` of a reply shows; None if there is no such date, or if a cache has kept the reply.

    *sent_at* and *received_at* are moments of our clock, at the request and at the headers of the reply.
    """
    if headers.get("Age", "0").strip() not in ("", "0"):
        return None
    return sample(read_date(headers.get("Date")), sent_at, received_at)


def is_contradicted(shown: ClockSample, last_updated: datetime, received_at: datetime) -> bool:
    """Return whether *last_updated* lies after the `Date` beside it, so that one of the two is wrong.

    One that lies after our own present says nothing: it may be unknown.
    """
    date = received_at - timedelta(seconds=shown.most)
    return date + NAMED_FROM < last_updated <= received_at


def judged(error: RadarError, batch: Batch, shown: ClockSample | None, received_at: datetime) -> RadarError:
    """Return *error* with what its reply shows of our clock; as InFuture if *batch* ends in Radar's future by that."""
    if isinstance(error, Refused) and shown is not None and _ends_in_future(batch, shown, received_at):
        body, error = error.body, InFuture(str(error), status=error.status, code=error.code)
        error.body = body
        if "future" in str(error).lower():
            shown = shown.confirm()
    error.clock_sample = shown
    return error


def _ends_in_future(batch: Batch, shown: ClockSample, received_at: datetime) -> bool:
    latest = received_at - timedelta(seconds=shown.least)
    return max(window.end for window in batch.windows) - SLOT > latest

"""Whether a snapshot covers a range. Pure decisions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from collector.contract.request_parser import SeriesRequest
    from collector.model import AggInterval
    from collector.store import SelectedSeries, Snapshot


def why_outside(asked: SeriesRequest, taken: Snapshot, now: datetime) -> str | None:
    """Return why the snapshot *taken* cannot answer *asked* at *now*; None if it can."""
    start, end = from_epoch(asked.start), from_epoch(asked.end)
    if _holds(taken, asked.query.agg_interval, start, end, now):
        return None
    return (
        f"The range {rfc3339(start)}..{rfc3339(end)} lies outside of the newest snapshot for these filters, "
        f"{_described(taken)}"
    )


def why_any_outside(
    found: Iterable[SelectedSeries], start: datetime | None, end: datetime | None, now: datetime
) -> str | None:
    """Return which snapshot of *found* does not cover *start* to *end*; None if all do.

    A bound of None is that of the snapshot.
    """
    for one in found:
        if one.snapshot and not _holds(one.snapshot, one.agg_interval, start, end, now):
            return (
                f"{one.label}: the range {_bound(start)}..{_bound(end)} lies outside of the newest snapshot, "
                f"{_described(one.snapshot)}; choose a range inside it, or leave this profile out"
            )
    return None


def _holds(taken: Snapshot, interval: AggInterval, start: datetime | None, end: datetime | None, now: datetime) -> bool:
    """Return whether *taken* starts early enough, and reaches what Radar should have published since.

    The newest bucket may be absent, because the next pass will add it.
    """
    lag = max(taken.asked_at - taken.last_updated, timedelta(0))
    published = interval.floor(now - lag) - interval.step
    begins = start is None or taken.start <= start < taken.end
    return begins and (end is None or min(end, published) <= taken.end)


def _described(taken: Snapshot) -> str:
    return f"which was asked for at {rfc3339(taken.asked_at)} and covers {rfc3339(taken.start)}..{rfc3339(taken.end)}"


def _bound(moment: datetime | None) -> str:
    return rfc3339(moment) if moment else ""

"""Annotations of the synthetic data: an outage of some hours in one week, an instant in another."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from collector.interval import AggInterval
from collector.model import Annotation, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

_TROUBLE = (
    ("PIPELINE", "Delayed ingestion from several certificate transparency logs"),
    ("OUTAGE", "A large log refused submissions"),
    ("TRAFFIC_ANOMALY", "Unusually many certificates of one authority"),
)
_URL = "https://radar.cloudflare.com/certificate-transparency"


def ongoing(since: datetime) -> Annotation:
    """Return an annotation without an end."""
    text = "Logs of the static API are counted from here on"
    return Annotation(since, None, "CT", "GENERAL", text, _URL, is_instantaneous=False, tags=("LOG_API",))


def generated(seed: int, window: Window) -> Iterator[Annotation]:
    """Yield the annotations that begin in *window* or up to a week before it, by week."""
    week = AggInterval.ONE_WEEK.floor(window.start) - timedelta(weeks=1)
    while week < window.end:
        digest = hashlib.blake2b(f"{seed}/annotation/{week.isoformat()}".encode(), digest_size=4).digest()
        yield _of_week(week, *digest)
        week += timedelta(weeks=1)


def _of_week(week: datetime, kind: int, day: int, hour: int, length: int) -> Annotation:
    start = week + timedelta(days=day % 6, hours=hour % 24, minutes=15 * (length % 4))
    if kind % 3 == 0:
        text = "A new log became usable"
        return Annotation(start, start, "CT", "GENERAL", text, _URL, is_instantaneous=True)
    event_type, text = _TROUBLE[kind // 3 % len(_TROUBLE)]
    end = start + timedelta(minutes=15 * (4 + length % 90))
    return Annotation(start, end, "CT", event_type, text, _URL, is_instantaneous=False)


def concerns(annotation: Annotation, window: Window) -> bool:
    """Return whether the annotation and *window* share more than an edge."""
    if annotation.is_instantaneous:
        return window.start <= annotation.start_date < window.end
    return annotation.start_date < window.end and (annotation.end_date is None or annotation.end_date > window.start)

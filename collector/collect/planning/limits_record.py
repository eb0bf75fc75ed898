"""What was learned of the size of requests, as JSON: the record in the store, also that of an earlier version."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from collector.collect.planning.packing import LONGEST_QUERY
from collector.collect.planning.request_limits import Rejection, RequestLimits, Size
from collector.datasets import dataset_named
from collector.model import DATASET
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collector.interval import AggInterval
    from collector.model import RequestKind


def key_of(kind: RequestKind) -> str:
    """Return the key of the record."""
    return f"limits:{dataset_named(kind.dataset).path}:{kind.agg_interval}"


def old_key_of(kind: RequestKind) -> str | None:
    """Return the key that earlier versions used, which knew one dataset; None for another dataset."""
    return f"limits:{kind.agg_interval}" if kind.dataset == DATASET else None


def dump(limits: RequestLimits) -> str:
    """Write the record."""
    return json.dumps(
        {
            "accepted": [_pair(size) for size in limits.accepted],
            "rejected": [{**_pair(one.size), "cause": one.cause, "gaps": one.gaps} for one in limits.rejected],
            "length": limits.length,
            "longest": limits.longest,
            "gaps": limits.gaps,
            "gaps_accepted": limits.gaps_accepted,
            "climbs": limits.climbs,
            "again_at": rfc3339(limits.again_at) if limits.again_at else None,
        }
    )


def _pair(size: Size) -> dict[str, Any]:
    return {"span_seconds": size.span.total_seconds(), "positions": size.positions, "length": size.length}


def load(kind: RequestKind, text: str) -> RequestLimits:
    """Read a record of this version or of an earlier one."""
    record = json.loads(text)
    if "accepted" not in record:
        return replace(_load_old(kind.agg_interval, record), dataset=kind.dataset)
    return RequestLimits(
        kind.agg_interval,
        tuple(map(_size, record["accepted"])),
        tuple(Rejection(_size(one), one["cause"], one["gaps"]) for one in record["rejected"]),
        length=record["length"],
        longest=record["longest"],
        gaps=record["gaps"],
        gaps_accepted=record["gaps_accepted"],
        climbs=record["climbs"],
        again_at=_moment(record["again_at"]),
        dataset=kind.dataset,
    )


def _size(pair: dict[str, Any]) -> Size:
    return Size(timedelta(seconds=pair["span_seconds"]), pair["positions"], pair["length"])


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _load_old(agg_interval: AggInterval, record: dict[str, Any]) -> RequestLimits:
    """Take over what an earlier version had proven, and what it had found to be too large for one kind."""
    proven = Size(timedelta(seconds=record["proven_seconds"]), record["proven_positions"], LONGEST_QUERY)
    alone = Size(timedelta(seconds=record["proven_span_seconds"]), 1)
    accepted = [size for size in (proven, alone) if size.span and size.positions]
    too_long = timedelta(seconds=record.get("refused_span_seconds", 0))
    too_many = record.get("refused_positions", 0)
    sizes = [Size(too_long, 1)] if too_long else []
    sizes += [Size(agg_interval.step, too_many)] if too_many else []
    refused_at = _moment(record["refused_at"])
    return RequestLimits(
        agg_interval,
        tuple(size for size in accepted if not any(one != size and one.covers(size) for one in accepted)),
        tuple(Rejection(size, "refused") for size in sizes if not any(one.covers(size) for one in accepted)),
        length=record["length"],
        longest=LONGEST_QUERY if accepted else 0,
        gaps=record["gaps"],
        again_at=refused_at if sizes or not record["gaps"] or record["length"] < LONGEST_QUERY else None,
    )

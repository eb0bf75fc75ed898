"""From where on points are kept: what is older was deleted on purpose, and is no gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.model import utc
from collector.store.db import state

if TYPE_CHECKING:
    from datetime import datetime

    import sqlalchemy as sa

    from collector.model import AggInterval


def key(interval: AggInterval) -> str:
    """Name the fact that says it for one width of buckets."""
    return f"kept_from:{interval.value}"


def kept_from(connection: sa.Connection, interval: AggInterval) -> datetime | None:
    """Read the first bucket of this width that is kept; None where all are."""
    found = state.get(connection, key(interval))
    return utc(found) if found else None

"""The newest values of the series in use, for metrics: two look-ups by key for each, however long the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.store.db.column_types import Timestamp, epoch
from collector.store.db.schema import points, profile_series, series, snapshots
from collector.store.series import generations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class NewestValue(NamedTuple):
    """The value of the newest closed bucket of a series, which starts at *timestamp*, in epoch seconds."""

    profile: str
    series: str
    agg_interval: str
    unit: str
    timestamp: int
    value: float


class NewestValues(NamedTuple):
    """The newest values, and how many series with points were left out because of the limit."""

    values: Sequence[NewestValue]
    left_out: int


def _chosen() -> sa.Subquery:
    """Select the series in use that can have a history. The first series of each profile come first."""
    own = profile_series.c
    taken = sa.exists().where(snapshots.c.series_id == series.c.id)
    of_all_groups = (series.c.dimension != "") & (series.c.group == "")
    columns = own.profile, own.label, series.c.agg_interval, series.c.unit, series.c.normalization
    return (
        sa.select(*columns, series.c.id, own.position, sa.func.count().over().label("number"))
        .join(series, series.c.id == own.series_id)
        .where(own.active, own.profile.in_(sa.bindparam("profiles", expanding=True)))
        .where(series.c.points > 0, ~taken, ~of_all_groups)
        .order_by(own.position, own.profile, own.label)
        .limit(sa.bindparam("most", type_=sa.Integer))
        .subquery("chosen")
    )


def _statement() -> sa.Select[tuple[str, str, str, str, str, int, int | None, float | None]]:
    chosen = _chosen()
    starts = {interval: sa.bindparam(f"start_{interval.name}", type_=Timestamp) for interval in AggInterval}
    newest_start = sa.case(*((chosen.c.agg_interval == interval.value, start) for interval, start in starts.items()))
    newest = sa.select(points.c.timestamp, points.c.value).where(
        points.c.series_id == chosen.c.id, points.c.timestamp <= newest_start
    )
    newest = newest.correlate(chosen).order_by(points.c.timestamp.desc()).limit(1)
    return sa.select(
        *(chosen.c[name] for name in ("profile", "label", "agg_interval", "unit", "normalization", "number")),
        newest.with_only_columns(epoch(points.c.timestamp)).scalar_subquery().label("timestamp"),
        newest.with_only_columns(points.c.value).scalar_subquery().label("value"),
    ).order_by(chosen.c.position, chosen.c.profile, chosen.c.label)


_STATEMENT = _statement()


def newest_values(connection: sa.Connection, profiles: Sequence[str], now: datetime, most: int) -> NewestValues:
    """Read the newest closed bucket at *now* of at most *most* series of *profiles*, in one statement.

    The sum of the groups of a dimension is left out, because the groups are there. So is a series whose values depend
    on the moment of the request, and one whose values are relative to one answer: its value would not compare with the
    one before. Only to judge a normalization that the API does not describe needs another statement.
    """
    starts = {f"start_{interval.name}": now - interval.step for interval in AggInterval}
    rows = connection.execute(_STATEMENT, {"profiles": [*profiles], "most": most, **starts}).all()
    absolute = {"", *generations.absolute_words(connection, {row.normalization for row in rows})}
    kept = [
        NewestValue(row.profile, row.label, row.agg_interval, row.unit, row.timestamp, row.value)
        for row in rows
        if row.timestamp is not None and row.normalization in absolute
    ]
    return NewestValues(kept, rows[0].number - len(rows) if rows else 0)

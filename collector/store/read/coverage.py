"""What was answered so far, and what of it is missing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.clock_difference import radar_lag
from collector.model import Window, from_epoch
from collector.store.db.schema import date_ranges, fetch_profiles, fetches
from collector.store.ledger import lag
from collector.store.series import generations
from collector.store.write.answer_part import spoken_window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.model import Question


_LONGEST_LAG = timedelta(days=1)


def last_covered_at(
    connection: sa.Connection, queries: Sequence[Question], moment: datetime
) -> dict[Question, datetime]:
    """Find when an answer last covered the bucket at *moment*, per query; absent where none ever did."""
    found = generations.ids_of(connection, queries)
    ids = {series_id: query for query, same in found.items() for series_id in same}
    rows = connection.execute(
        sa.select(date_ranges.c.series_id, sa.func.max(fetches.c.finished_at))
        .join(fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id.in_(ids), date_ranges.c.end > moment, date_ranges.c.start <= moment)
        .group_by(date_ranges.c.series_id)
    )
    asked: dict[Question, datetime] = {}
    for series_id, finished_at in rows:
        asked[ids[series_id]] = max(finished_at, asked.get(ids[series_id], finished_at))
    return asked


def upstream_lag(connection: sa.Connection, profile: str) -> timedelta:
    """Tell how far lastUpdated lay behind Radar's present in the newest answer for *profile*; zero before the first.

    A lastUpdated that stays back for a day or longer says nothing of the lag: then the usual one counts, or zero.
    """
    answered = sa.and_(fetch_profiles.c.fetch_id == fetches.c.id, fetch_profiles.c.profile == profile)
    newest = sa.select(fetches.c.finished_at, fetches.c.last_updated).join(fetch_profiles, answered)
    newest = newest.where(fetches.c.outcome == "ok").order_by(fetch_profiles.c.fetch_id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    if row is None:
        return timedelta(0)
    ahead = lag.read_clock_difference(connection).ahead
    lags = [radar_lag(max(row.finished_at - row.last_updated, timedelta(0)), ahead)]
    if lags[0] >= _LONGEST_LAG:
        usual = lag.usual(connection, {profile: row.last_updated})
        lags += (radar_lag(each, ahead) for each in usual.values())
    return next((each for each in lags if each < _LONGEST_LAG), timedelta(0))


def lacking(connection: sa.Connection, query: Question, run: tuple[int, int]) -> list[tuple[int, int]]:
    """Find what answers to windows inside *run*, of which no bucket is stored, spoke for; all in epoch seconds.

    A window that reaches beyond the run may have been cut short before its first value.
    """
    ids, step = generations.ids_of(connection, [query]).get(query, []), query.agg_interval.step
    columns = (date_ranges.c.start, date_ranges.c.end, date_ranges.c.start_time, date_ranges.c.end_time)
    rows = connection.execute(
        sa.select(*columns, fetches.c.last_updated)
        .join(fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id.in_(ids), fetches.c.outcome == "ok")
        .where(date_ranges.c.end > from_epoch(run[0]), date_ranges.c.end <= from_epoch(run[1]))
    )
    return [
        spoken_window(Window(start, end), (start_time, end_time), last_updated, step)
        for start, end, start_time, end_time, last_updated in rows
    ]


def answered(connection: sa.Connection, query: Question, window: Window, since: datetime) -> list[Window]:
    """Find the parts of *window* that answers from *since* on have covered for a query, ascending; they may overlap."""
    ids = generations.ids_of(connection, [query]).get(query, [])
    found = connection.execute(
        sa.select(date_ranges.c.start, date_ranges.c.end)
        .join(fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id.in_(ids), fetches.c.finished_at >= since)
        .where(date_ranges.c.end > window.start, date_ranges.c.start < window.end)
        .order_by(date_ranges.c.start)
    )
    return [Window(max(start, window.start), min(end, window.end)) for start, end in found]

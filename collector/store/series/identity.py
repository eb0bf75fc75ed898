"""Series and their labels: which line of history a query is, and what the operator calls it."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import epoch
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import points, profile_series, series
from collector.store.db.sql import LABELS, advisory_lock, upsert
from collector.store.series import evidence, generations, groups
from collector.store.series.proposals import UNANSWERED, row_of
from collector.windows import subtract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question
    from collector.profile import LabelledSeries, Profile
    from collector.rules.finality import Evidence
    from collector.windows import EpochWindow


# A statement of every answer is built once: building one costs several times its execution.
_COUNT = sa.update(series).where(series.c.id == sa.bindparam("i")).values(points=series.c.points + sa.bindparam("n"))


def activate_labels(
    connection: sa.Connection, profiles: Sequence[Profile], now: datetime, others: Collection[str] = ()
) -> None:
    """Activate the labels of these profiles, beside those of the profiles of *others*."""
    advisory_lock(connection, LABELS)
    profiles = groups.placed(connection, profiles)
    wanted = [(profile.name, position, s) for profile in profiles for position, s in enumerate(profile.series)]
    ids = _find_or_add(connection, [s for *_, s in wanted], now)
    kept = {*others} - {profile.name for profile in profiles}
    ours = profile_series.c.profile.not_in(kept)
    connection.execute(sa.update(profile_series).where(ours).values(active=False))
    if not wanted:
        return
    rows = [
        {"profile": name, "label": s.label, "position": position, "series_id": ids[s.query], "active": True}
        for name, position, s in wanted
    ]
    insert = upsert(connection, profile_series)
    new = {name: insert.excluded[name] for name in ("position", "series_id", "active")}
    connection.execute(insert.on_conflict_do_update(index_elements=["profile", "label"], set_=new), rows)
    grouped = [(name, at, s.label, s.query) for name, at, s in wanted if s.query.has_groups]
    groups.activate_labels(connection, grouped)
    labels = {ids[s.query]: s.label for *_, s in wanted}
    stored = connection.execute(sa.select(series.c.id, series.c.label).where(series.c.id.in_(labels)))
    changed = [{"i": row.id, "l": labels[row.id]} for row in stored if row.label != labels[row.id]]
    if changed:
        relabel = sa.update(series).where(series.c.id == sa.bindparam("i")).values(label=sa.bindparam("l"))
        connection.execute(relabel, changed)
    _note_settles(connection, profiles, ids, kept)


def _note_settles(
    connection: sa.Connection, profiles: Sequence[Profile], ids: Mapping[Question, int], kept: Collection[str]
) -> None:
    """Record the longest `settle` of the profiles that want each series.

    The profiles of other replicas can only lengthen it.
    """
    longest: dict[int, timedelta] = {}
    for profile in profiles:
        for labelled in profile.series:
            longest[ids[labelled.query]] = max(longest.get(ids[labelled.query], timedelta(0)), profile.settle)
    theirs = sa.select(series.c.id, series.c.settle).join(profile_series, profile_series.c.series_id == series.c.id)
    theirs = theirs.where(profile_series.c.active, profile_series.c.profile.in_(kept), series.c.settle.is_not(None))
    for series_id, settle in connection.execute(theirs) if kept else ():
        if series_id in longest:
            longest[series_id] = max(longest[series_id], timedelta(seconds=settle))
    evidence.set_settles(connection, longest)


def _find_or_add(connection: sa.Connection, wanted: Sequence[LabelledSeries], now: datetime) -> dict[Question, int]:
    """Find the current series of each question of *wanted*; add one without an answer if there is none."""
    queries = [labelled.query for labelled in wanted]
    ids = current(connection, queries)
    new = {s.query: row_of(s.query, s.label, UNANSWERED, now) for s in wanted if s.query not in ids}
    if not new:
        return ids
    connection.execute(upsert(connection, series).on_conflict_do_nothing(), list(new.values()))
    return current(connection, queries)


def current(connection: sa.Connection, queries: Iterable[Question]) -> dict[Question, int]:
    """Find the id of each query's current series, which its labels point to; absent where there is none yet."""
    by_query = generations.of_queries(connection, queries)
    return {query: same[0].id for query, same in by_query.items()}


def ends(connection: sa.Connection, ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Find the oldest and newest stored timestamp of each series; absent where it has no point."""
    extremes = [
        sa.select(epoch(extreme(points.c.timestamp))).where(points.c.series_id == series.c.id).scalar_subquery()
        for extreme in (sa.func.min, sa.func.max)
    ]
    rows = connection.execute(sa.select(series.c.id, *extremes).where(series.c.id.in_(ids)))
    return {series_id: (oldest, newest) for series_id, oldest, newest in rows if oldest is not None}


def count_points(connection: sa.Connection, added: dict[int, int]) -> None:
    """Add to the count of points of each series_id."""
    rows = [{"i": series_id, "n": number} for series_id, number in sorted(added.items()) if number]
    if rows:
        connection.execute(_COUNT, rows)


class Renamed(NamedTuple):
    """A label that is no longer in use (*profile*, *label*), and the one in use for the same series."""

    profile: str
    label: str
    new_profile: str
    new_label: str


def renamed(connection: sa.Connection, profiles: Collection[str] = (), labels: Collection[str] = ()) -> list[Renamed]:
    """List the renamed labels of *profiles*, and those of *labels*, by profile and position.

    A name that is in use again means what it is used for now: a profile with any label in use, or a label in use, is
    not followed. Of several new labels of one series the first by profile and position counts.
    """
    if not profiles and not labels:
        return []
    targets: dict[tuple[str, int, str], tuple[str, int, str]] = {}
    parameters = {"profiles": list(profiles), "labels": list(labels)}
    for profile, position, label, *place in _renamed().rows(connection, parameters):
        key, target = (profile, position, label), (place[0], place[1], place[2])
        targets[key] = min(targets.get(key, target), target)
    return [Renamed(p, label, new_p, new_l) for (p, _, label), (new_p, _, new_l) in sorted(targets.items())]


@cache
def _renamed() -> DriverSelect:
    """Select (profile, position, label) of each renamed label, and those of each label in use for its series."""
    old, new = profile_series.alias("old"), profile_series.alias("new")
    same, used = profile_series.alias("same"), profile_series.alias("used")
    of_profile = sa.select(same.c.profile).where(same.c.profile == old.c.profile, same.c.active).exists()
    of_label = sa.select(used.c.profile).where(used.c.label == old.c.label, used.c.active).exists()
    condition = sa.or_(
        sa.and_(old.c.profile.in_(sa.bindparam("profiles", expanding=True)), ~of_profile),
        sa.and_(old.c.label.in_(sa.bindparam("labels", expanding=True)), ~of_label),
    )
    columns = old.c.profile, old.c.position, old.c.label, new.c.profile, new.c.position, new.c.label
    select = sa.select(*columns).join_from(old, new, sa.and_(new.c.series_id == old.c.series_id, new.c.active))
    return DriverSelect(select.where(sa.not_(old.c.active), condition))


def chosen(
    profile: sa.ColumnElement[str], label: sa.ColumnElement[str], followed: Collection[Renamed]
) -> sa.ColumnElement[bool]:
    """Choose the rows of the labels that *followed* leads to."""
    pairs = {(rename.new_profile, rename.new_label) for rename in followed}
    return sa.or_(sa.false(), *(sa.and_(profile == new_profile, label == new) for new_profile, new in sorted(pairs)))


class SeriesState(NamedTuple):
    """A series with a point: its *extent* from the oldest to behind the newest bucket, and the *evidence* for it.

    The extent holds what is stored in earlier units, too; *current* is the part in the present one, with evidence.
    *settle* is the longest one of the profiles that want it, in seconds, None if none has yet. *sums_differ*: Radar's
    daily values are not the sums of its finer ones. *absent* is what Radar does not have, or not any more.
    """

    series_id: int
    extent: EpochWindow
    current: EpochWindow
    evidence: Sequence[Evidence]
    settle: int | None
    sums_differ: bool = False
    absent: EpochWindow | None = None

    @property
    def told_until(self) -> int:
        """Return the end of the newest bucket that an answer has covered."""
        return max([self.extent[1], *(row.end for row in self.evidence)])

    def still_there(self, windows: Iterable[EpochWindow]) -> list[EpochWindow]:
        """The parts of *windows* that Radar may still have, ascending."""
        return [part for window in windows for part in (subtract(window, [self.absent]) if self.absent else [window])]


def confirm(connection: sa.Connection, query: Question, windows: Sequence[EpochWindow], settle: int) -> None:
    """Record that a second, independent answer confirms the final values of *windows*."""
    series_id = current(connection, [query]).get(query)
    if series_id is not None:
        evidence.confirm(connection, series_id, windows, settle)


def set_sums_differ(connection: sa.Connection, query: Question) -> None:
    """Record that daily values are not the sums of finer ones."""
    same = series.c.digest == query.digest
    connection.execute(sa.update(series).where(same).values(sums_differ=True))

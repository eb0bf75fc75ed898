"""Labels that are no longer in use, and the labels that their series have now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.store.schema import profile_series

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncConnection


class Renamed(NamedTuple):
    """A label that is no longer in use (*profile*, *label*), and the one in use for the same series."""

    profile: str
    label: str
    new_profile: str
    new_label: str


async def renamed(
    connection: AsyncConnection, profiles: Collection[str] = (), labels: Collection[str] = ()
) -> list[Renamed]:
    """List the renamed labels of *profiles*, and those of *labels*, by profile and position.

    A name that is in use again means what it is used for now: a profile with any label in use, or a label in use, is
    not followed. Of several new labels of one series the first by profile and position counts.
    """
    if not profiles and not labels:
        return []
    old, new = profile_series.alias("old"), profile_series.alias("new")
    same, used = profile_series.alias("same"), profile_series.alias("used")
    of_profile = sa.select(same.c.profile).where(same.c.profile == old.c.profile, same.c.active).exists()
    of_label = sa.select(used.c.profile).where(used.c.label == old.c.label, used.c.active).exists()
    asked = sa.or_(
        sa.and_(old.c.profile.in_(list(profiles)), ~of_profile),
        sa.and_(old.c.label.in_(list(labels)), ~of_label),
    )
    columns = old.c.profile, old.c.position, old.c.label, new.c.profile, new.c.position, new.c.label
    select = sa.select(*columns).join_from(old, new, sa.and_(new.c.series_id == old.c.series_id, new.c.active))
    found: dict[tuple[str, int, str], tuple[str, int, str]] = {}
    for profile, position, label, *place in await connection.execute(select.where(sa.not_(old.c.active), asked)):
        key, target = (profile, position, label), (place[0], place[1], place[2])
        found[key] = min(found.get(key, target), target)
    return [Renamed(p, label, new_p, new_l) for (p, _, label), (new_p, _, new_l) in sorted(found.items())]


def chosen(
    profile: sa.ColumnElement[str], label: sa.ColumnElement[str], followed: Collection[Renamed]
) -> sa.ColumnElement[bool]:
    """Choose the rows of the labels that *followed* leads to."""
    pairs = {(one.new_profile, one.new_label) for one in followed}
    return sa.or_(sa.false(), *(sa.and_(profile == new_profile, label == new) for new_profile, new in sorted(pairs)))

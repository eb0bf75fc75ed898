"""Learns how many groups a request may ask for, and puts that number into requests by dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.collect.planning import group_limits
from collector.collect.planning.group_limits import GroupLimit, asking_for, limits_groups
from collector.datasets import dataset_of
from collector.radar.errors import Refused
from collector.radar.response_points import folded

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from collector.model import Batch
    from collector.radar.errors import RadarError
    from collector.store import Store


class GroupLearner:
    """The limit on the number of groups, from the store. A rejection is recorded when a smaller number is accepted."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._known: GroupLimit | None = None
        self._pending: int = 0

    async def sized(self, batch: Batch) -> Batch:
        """Return *batch* with the number of groups to ask for."""
        query = batch.slices[0].series
        if not limits_groups(query):
            return batch
        limit = await self._limit(batch)
        if self._pending:
            limit = GroupLimit(min(limit.accepted, self._pending - 1), self._pending)
        return asking_for(batch, limit.number(query.most_groups, self._clock()))

    async def accepted(self, batch: Batch) -> None:
        """Learn from an answer to *batch*, which `sized` has returned."""
        number = batch.slices[0].series.most_groups
        if not limits_groups(batch.slices[0].series):
            return
        limit, pending, self._pending = await self._limit(batch), self._pending, 0
        if number < pending:
            limit = group_limits.rejected(limit, pending, self._clock())
        await self._learn(batch, group_limits.accepted(limit, number) if number else limit)

    def lowered(self, batch: Batch, error: RadarError) -> bool:
        """Return whether *error* names the number of groups of *batch*, which `sized` has returned; then lower it."""
        number = batch.slices[0].series.most_groups if limits_groups(batch.slices[0].series) else 0
        if not (number and folded(group_limits.NAME) in folded(str(error))):
            return False
        self._pending = number
        return True

    async def is_to_blame(self, batch: Batch, error: RadarError) -> bool:
        """Return whether fewer groups may help *batch*, whose size cannot be the cause of *error*; then lower them.

        The error does not name the number, so each number is tried once.
        """
        number = (await self.sized(batch)).slices[0].series.most_groups
        is_possible = isinstance(error, Refused) and limits_groups(batch.slices[0].series)
        is_possible = is_possible and number > (await self._limit(batch)).accepted
        self._pending = number if is_possible else 0
        return is_possible

    async def _limit(self, batch: Batch) -> GroupLimit:
        if self._known is None:
            text = await self._store.get_state(_key(batch))
            self._known = group_limits.load(text) if text else GroupLimit()
        return self._known

    async def _learn(self, batch: Batch, limit: GroupLimit) -> None:
        if limit != self._known:
            self._known = limit
            await self._store.set_state(_key(batch), group_limits.dump(limit))


def _key(batch: Batch) -> str:
    return f"group_limit:{dataset_of(batch.slices[0].series).groups_path}"

"""The reading side of the store for callers on the event loop: each method is one transaction, in a thread."""

from __future__ import annotations

from contextlib import aclosing
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from collector.store.read.as_of import AsOfReader
from collector.store.read.points import export_blocks
from collector.store.read.selection import blocks
from collector.store.read_view import ReadView

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Sequence
    from datetime import datetime

    from collector.store.db.database import Database
    from collector.store.read.points import Block
    from collector.store.read.selection import PointCursor, PointQuery, SelectedSeries

P = ParamSpec("P")
T = TypeVar("T")


def _in_thread(read: Callable[Concatenate[ReadView, P], T]) -> Callable[Concatenate[Reader, P], Coroutine[Any, Any, T]]:
    """Make a method of Reader of a method of ReadView: it does the same in a transaction of its own."""

    async def method(self: Reader, /, *arguments: P.args, **keywords: P.kwargs) -> T:
        database = self._database
        return await database.read_in_thread(
            lambda connection: read(ReadView(connection, database.location), *arguments, **keywords)
        )

    update_wrapper(method, read)
    return method


class Reader:
    """What can be read of a store. Each method sees one state of it and changes nothing, see ReadView."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._database.location.backend

    async def with_read_view(self, work: Callable[[ReadView], T]) -> T:
        """Do *work*, many short questions, on one state of the store, in a thread."""
        location = self._database.location
        return await self._database.read_in_thread(lambda connection: work(ReadView(connection, location)))

    async def read_as_of(self, work: Callable[[AsOfReader], T], as_of: datetime | None = None) -> T:
        """Do *work* on one state of the history, as it is now or as it was known at a moment, in a thread."""
        return await self._database.read_in_thread(lambda connection: work(AsOfReader(connection, as_of)))

    async def export(
        self,
        profiles: Collection[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        as_of: datetime | None = None,
    ) -> AsyncGenerator[tuple[str, str, int, float], None]:
        """Stream (profile, label, timestamp, value), by profile, position of the label, and time; as `export_blocks`.

        Who stops early should close the iterator.
        """
        async with aclosing(self.export_blocks(profiles, start, end, as_of)) as blocks:
            async for block in blocks:
                for timestamp, value in block.points:
                    yield block.profile, block.label, timestamp, value

    def export_blocks(
        self,
        profiles: Collection[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        as_of: datetime | None = None,
        asked: dict[tuple[str, str], datetime] | None = None,
    ) -> AsyncGenerator[Block, None]:
        """Stream (profile, label, [(timestamp, value)…], unit, normalization), many points at once, in constant memory.

        As `read.points.export_blocks`. One state of the store is seen from first to last; who stops early should close
        the iterator.
        """
        return self._database.stream(
            lambda connection: export_blocks(connection, profiles, start, end, as_of, asked=asked)
        )

    def select_blocks(
        self, chosen: PointQuery, after: PointCursor | None = None
    ) -> AsyncGenerator[tuple[SelectedSeries, Sequence[tuple[int, float]]], None]:
        """Stream (series, [(timestamp, value)…]) of a selection, from behind the place *after* on, in constant memory.

        LookupError where that place's series is not of the selection. Who stops early should close the iterator.
        """
        return self._database.stream(lambda connection: blocks(connection, chosen, after))

    extents = _in_thread(ReadView.extents)
    newest_buckets = _in_thread(ReadView.newest_buckets)
    relative_queries = _in_thread(ReadView.relative_queries)
    snapshots = _in_thread(ReadView.snapshots)
    snapshot_reaches = _in_thread(ReadView.snapshot_reaches)
    snapshot_record = _in_thread(ReadView.snapshot_record)
    last_covered_at = _in_thread(ReadView.last_covered_at)
    upstream_lag = _in_thread(ReadView.upstream_lag)
    last_fires = _in_thread(ReadView.last_fires)
    last_fire = _in_thread(ReadView.last_fire)
    list_replicas = _in_thread(ReadView.list_replicas)
    deviations = _in_thread(ReadView.deviations)
    rehearse_replay = _in_thread(ReadView.rehearse_replay)
    kinds_without_example = _in_thread(ReadView.kinds_without_example)
    bodies = _in_thread(ReadView.bodies)
    body = _in_thread(ReadView.body)
    question = _in_thread(ReadView.question)
    list_state = _in_thread(ReadView.list_state)
    normalizations = _in_thread(ReadView.normalizations)
    clock_difference = _in_thread(ReadView.clock_difference)
    ahead = _in_thread(ReadView.ahead)
    grids = _in_thread(ReadView.grids)
    learned_grids = _in_thread(ReadView.learned_grids)
    former_grids = _in_thread(ReadView.former_grids)
    has_history = _in_thread(ReadView.has_history)
    get_state = _in_thread(ReadView.get_state)
    backfill = _in_thread(ReadView.backfill)
    open_backfills = _in_thread(ReadView.open_backfills)
    list_backfills = _in_thread(ReadView.list_backfills)
    covered_windows = _in_thread(ReadView.covered_windows)
    gaps = _in_thread(ReadView.gaps)
    history_begins = _in_thread(ReadView.history_begins)
    find_gaps = _in_thread(ReadView.find_gaps)
    gap_requests = _in_thread(ReadView.gap_requests)
    edges = _in_thread(ReadView.edges)
    beginnings = _in_thread(ReadView.beginnings)
    series_states = _in_thread(ReadView.series_states)
    doubtful_annotations = _in_thread(ReadView.doubtful_annotations)
    daily_sums = _in_thread(ReadView.daily_sums)
    unconfirmed = _in_thread(ReadView.unconfirmed)
    list_series = _in_thread(ReadView.list_series)
    renamed = _in_thread(ReadView.renamed)
    of_profile = _in_thread(ReadView.of_profile)
    list_fetches = _in_thread(ReadView.list_fetches)
    list_annotations = _in_thread(ReadView.list_annotations)
    list_revisions = _in_thread(ReadView.list_revisions)
    list_fires = _in_thread(ReadView.list_fires)
    selected = _in_thread(ReadView.selected)
    downsample = _in_thread(ReadView.downsample)
    unit_changes = _in_thread(ReadView.unit_changes)
    newest_answer = _in_thread(ReadView.newest_answer)
    status_rows = _in_thread(ReadView.status_rows)
    service = _in_thread(ReadView.service)
    commands = _in_thread(ReadView.commands)
    paused = _in_thread(ReadView.paused)
    empty = _in_thread(ReadView.empty)
    measures = _in_thread(ReadView.measures)
    complete_extents = _in_thread(ReadView.complete_extents)
    info = _in_thread(ReadView.info)
    budget = _in_thread(ReadView.budget)
    budget_free_at = _in_thread(ReadView.budget_free_at)
    throttles = _in_thread(ReadView.throttles)
    rejection_reason = _in_thread(ReadView.rejection_reason)
    refusals = _in_thread(ReadView.refusals)
    upstream = _in_thread(ReadView.upstream)

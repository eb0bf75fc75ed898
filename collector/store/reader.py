"""The reading side of the store.

ReadView has one state of it, inside a transaction. Reader is for callers on the event loop: the same methods, each in a
transaction of its own, in a thread. Most methods are functions of a connection; their docstrings are there.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack

from collector.model import Window
from collector.profile import on_grids, with_delays
from collector.store.db import sql
from collector.store.ledger import backfills, bodies, fetches, fires, publication, replicas, upstream
from collector.store.read import (
    catalogue,
    comparison,
    downsample,
    gaps,
    group_bounds,
    group_series,
    known_values,
    listing,
    newest_values,
    selection,
    status,
    sums,
)
from collector.store.read.as_of import AsOfReader
from collector.store.read.gaps import ExpectedWindow, GapWindow
from collector.store.read.listing import ListFilter, SeriesChoice
from collector.store.read.points import export_blocks
from collector.store.read.selection import PointQuery, blocks
from collector.store.read.stored_series import StoredQuestions
from collector.store.series import evidence, generations, grids, groups, identity, remainders, snapshots
from collector.store.write import marks, replays
from collector.store.write.annotations import doubtful
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    import sqlalchemy as sa

    from collector.model import Question, Remainder
    from collector.profile import Profile, Reach
    from collector.store.db.database import Database
    from collector.store.db.engine import Location
    from collector.store.ledger.fires import Fire
    from collector.store.ledger.replicas import ServiceState
    from collector.store.read.listing import AnnotationRow, FetchRow, Filters, RevisionRow, SeriesRow
    from collector.store.read.points import Block
    from collector.store.read.selection import PointCursor, PointQuery, SelectedSeries
    from collector.store.read.status import StoreInfo
    from collector.store.series.generations import UnitChange
    from collector.store.series.snapshots import PassRecord, Snapshot
    from collector.windows import EpochWindow

P = ParamSpec("P")
T = TypeVar("T")


def _of_connection(read: Callable[Concatenate[sa.Connection, P], T]) -> Callable[Concatenate[ReadView, P], T]:
    """Make a method of ReadView from a function of a connection."""

    def method(self: ReadView, /, *arguments: P.args, **keywords: P.kwargs) -> T:
        return read(self._connection, *arguments, **keywords)

    update_wrapper(method, read)
    return method


def _of_known(
    read: Callable[Concatenate[sa.Connection, StoredQuestions, P], T],
) -> Callable[Concatenate[ReadView, P], T]:
    """Make a method of ReadView from a function of a connection and of the series that were read from it."""

    def method(self: ReadView, /, *arguments: P.args, **keywords: P.kwargs) -> T:
        return read(self._connection, self._known, *arguments, **keywords)

    update_wrapper(method, read)
    return method


def _windows(extents: Mapping[Question, EpochWindow]) -> dict[Question, Window]:
    """Return *extents* as windows of times. Most series have the same one, which is converted once."""
    windows = {extent: Window(*map(from_epoch, extent)) for extent in set(extents.values())}
    return {query: windows[extent] for query, extent in extents.items()}


class ReadView:
    """One state of a store, inside an open transaction."""

    def __init__(self, connection: sa.Connection, location: Location) -> None:
        self._connection = connection
        self._location = location
        self._known = StoredQuestions(connection)

    def extents(self, queries: Collection[Question]) -> dict[Question, Window]:
        """Find the window from the oldest to the newest stored bucket of each query; absent where it has no point."""
        return _windows(self._known.extents(queries))

    def newest_buckets(self, queries: Collection[Question]) -> dict[Question, datetime]:
        """Find the start of the newest stored bucket of each query; absent where it has no point."""
        return {q: from_epoch(end) - q.agg_interval.step for q, (_, end) in self._known.extents(queries).items()}

    def snapshots(self, queries: Sequence[Question]) -> dict[Question, Snapshot]:
        """Find the newest snapshot of each query; absent where none was taken."""
        ids = {stored.id: query for query, stored in self._known.current(queries).items()}
        return {ids[i]: snapshot for i, snapshot in snapshots.newest(self._connection, ids).items()}

    def oldest_snapshots(self, ids: Collection[int]) -> dict[int, datetime]:
        """Return when the oldest snapshot of each series was requested that is kept; see `snapshots.oldest`."""
        return snapshots.oldest(self._connection, ids)

    def snapshot_reaches(self, queries: Sequence[Question]) -> dict[Question, list[Reach]]:
        """Find how far back the profiles that have a query in use want its snapshots to reach."""
        ids = {stored.id: query for query, stored in self._known.current(queries).items()}
        return {ids[i]: reaches for i, reaches in snapshots.reaches(self._connection, ids).items()}

    def snapshot_record(self, profile: str) -> PassRecord:
        """Return the record of the passes that take the snapshots of *profile*."""
        return snapshots.load_record(self.get_state(snapshots.record_key(profile)))

    def placed(self, profiles: Sequence[Profile]) -> list[Profile]:
        """Return *profiles* with what is known: their grids, when they are due, and the names in place of each star."""
        delays = publication.due_delays(self._connection)
        return with_delays(on_grids(groups.placed(self._connection, profiles), self.grids()), delays)

    def remainders(self, query: Question, window: Window, as_of: datetime | None = None) -> dict[int, Remainder]:
        """Read what answers left beside the groups of *query* in *window*; see `remainders.read`."""
        current = self._known.current([query]).get(query)
        if current is None:
            return {}
        seconds = int(window.start.timestamp()), int(window.end.timestamp())
        return remainders.read(self._connection, current.id, seconds, as_of)

    def ahead(self) -> timedelta:
        """Return how far the clock is ahead of Radar's. Buckets that end in Radar's future cannot be requested."""
        return self.clock_difference().ahead

    def as_of(self, moment: datetime | None) -> AsOfReader:
        """Return a reader of this state of the store for what was known at *moment*; None: now."""
        return AsOfReader(self._connection, moment)

    def list_series(self, **chosen: Unpack[Filters]) -> list[SeriesRow]:
        """List series with their labels; keywords as in ListFilter: those with a point between start and end."""
        return listing.list_series(self._connection, ListFilter(**chosen))

    def of_profile(self, profile: str | None) -> SeriesChoice:
        """Choose the series and revisions of *profile*. A renamed profile has the labels that are now in use."""
        followed = self.renamed([profile]) if profile is not None else []
        if not followed:
            return SeriesChoice(profile)
        old = {rename.label for rename in followed}
        kept = {row.label for row in self.list_series(profile=profile)} - old
        return SeriesChoice(None, {rename.new_label for rename in followed} | kept)

    def list_fetches(self, **chosen: Unpack[Filters]) -> list[FetchRow]:
        """List requests, the newest first; keywords as in ListFilter, start and end bound when it was sent."""
        return listing.list_fetches(self._connection, ListFilter(**chosen))

    def list_annotations(self, **chosen: Unpack[Filters]) -> list[AnnotationRow]:
        """List annotations by start date; keywords as in ListFilter, of which *profile* changes nothing."""
        return listing.list_annotations(self._connection, ListFilter(**chosen))

    def list_revisions(self, **chosen: Unpack[Filters]) -> list[RevisionRow]:
        """List values that were replaced, by series, bucket and time; keywords as in ListFilter, for the bucket."""
        return listing.list_revisions(self._connection, ListFilter(**chosen))

    def list_fires(self, **chosen: Unpack[Filters]) -> list[Fire]:
        """List due moments and their outcomes, the newest first; keywords as in ListFilter."""
        return listing.list_fires(self._connection, ListFilter(**chosen))

    def service(self) -> ServiceState | None:
        """Return the state of the store's service; None if none was ever seen."""
        return replicas.read(self._connection, self._location)

    def commands(self) -> list[str]:
        """List the commands other than a service that are at work on the store."""
        return replicas.commands(self._connection, self._location)

    def complete_extents(self, queries: Collection[Question]) -> dict[Question, Window]:
        """Find the window from the oldest to the newest stored bucket of those queries that have all in between."""
        return _windows(self._known.complete_extents(queries))

    def relative_queries(self, queries: Collection[Question]) -> set[Question]:
        """Find the queries whose current series holds values that are relative to one answer."""
        return self._known.relative(queries)

    def measures(self, queries: Collection[Question]) -> dict[Question, str]:
        """Find the normalization of each query's current series; absent before the first answer."""
        return self._known.measures(queries)

    def unit_changes(self, queries: Collection[Question]) -> list[UnitChange]:
        """List the changes of units, see `generations.unit_changes`; a question with one series has none."""
        several = self._known.several(queries)
        return generations.unit_changes(self._connection, several) if several else []

    def info(self) -> StoreInfo:
        """Return what is in the store, and its size in bytes."""
        return status.info(self._connection, self._location)

    series_states = _of_known(status.series_states)
    renamed = _of_connection(identity.renamed)
    normalizations = _of_connection(generations.list_verdicts)
    learned_grids = _of_connection(grids.learned)
    former_grids = _of_connection(grids.former)
    has_history = _of_connection(grids.has_history)
    grids = _of_connection(grids.in_force)
    history_begins = _of_connection(evidence.history_begins)
    edges = _of_connection(evidence.read_edges)
    last_covered_at = _of_known(gaps.last_covered_at)
    publication_times = _of_connection(publication.times)
    count_groups = _of_connection(groups.count)
    upstream_lag = _of_connection(gaps.upstream_lag)
    upstream_lags = _of_connection(gaps.upstream_lags)
    covered_windows = _of_known(gaps.covered_windows)
    find_gaps = _of_known(gaps.find_gaps)
    gap_requests = _of_known(gaps.find_gap_requests)
    beginnings = _of_known(gaps.beginnings)
    selected = _of_connection(selection.selected)
    select_series = _of_connection(selection.select_series)
    page = _of_connection(selection.page)
    blocks = _of_connection(selection.blocks)
    downsample = _of_connection(downsample.downsample)
    period_sums = _of_connection(sums.period_sums)
    settles = _of_connection(sums.settles)
    sums_of_groups = _of_connection(group_bounds.sums_of_groups)
    unknown_windows = _of_connection(group_bounds.unknown_windows)
    group_bounds = _of_connection(group_bounds.group_bounds)
    absolute_words = _of_connection(generations.absolute_words)
    status_rows = _of_known(status.status_rows)
    proof_counts = _of_known(comparison.count)
    proof = _of_known(comparison.read)
    differing_windows = _of_known(comparison.to_reread)
    paused = _of_connection(status.paused)
    empty = _of_known(status.empty)
    unconfirmed = _of_known(status.unconfirmed)
    daily_sums = _of_known(status.daily_sums)
    daily_group_sums = _of_known(group_series.daily_sums)
    doubtful_annotations = _of_connection(doubtful)
    newest_answer = _of_connection(fetches.newest_answer)
    last_fires = _of_connection(fires.last_of)
    last_fire = _of_connection(fires.last)
    clock_difference = _of_connection(upstream.read_clock_difference)
    list_replicas = _of_connection(replicas.listed)
    backfill = _of_connection(backfills.find)
    open_backfills = _of_connection(backfills.still_open)
    list_backfills = _of_connection(backfills.listed)
    deviations = _of_connection(bodies.list_deviations)
    kinds_without_example = _of_connection(bodies.without_example)
    body = _of_connection(bodies.content)
    question = _of_connection(bodies.question)
    bodies = _of_connection(bodies.list_bodies)
    rehearse_replay = _of_connection(replays.rehearse)
    budget = _of_connection(upstream.budget)
    budget_free_at = _of_connection(upstream.free_at)
    refusals = _of_connection(upstream.list_refusals)
    throttles = _of_connection(upstream.throttles)
    refuses_path = _of_connection(upstream.refuses_path)
    rejection_reason = _of_connection(upstream.rejection_reason)
    upstream = _of_connection(upstream.upstream)
    get_state = _of_connection(sql.get_state)
    list_state = _of_connection(sql.list_state)
    catalogue_entries = _of_connection(catalogue.entries)
    catalogue_history = _of_connection(catalogue.history)
    catalogue_states = _of_connection(catalogue.list_states)
    catalogue_since = _of_connection(catalogue.collected_since)
    next_details = _of_connection(catalogue.next_details)
    group_names = _of_connection(known_values.group_names)
    known_values = _of_connection(known_values.known_values)
    list_marks = _of_connection(marks.listed)
    newest_values = _of_connection(newest_values.newest_values)

    def gaps(self, query: Question, window: Window, settle: timedelta) -> list[GapWindow]:
        """Find the runs of absent buckets in *window*, ascending: `missing`, or `upstream` where Radar has none.

        `upstream`: an answer covered them whose lastUpdated is *settle* or more after the buckets' end.
        """
        (gap_windows,) = self.find_gaps([ExpectedWindow(query, window, settle)])
        return gap_windows


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
        """Run *work*, which has many short reads, on one state of the store, in a thread."""
        location = self._database.location
        return await self._database.read_in_thread(lambda connection: work(ReadView(connection, location)))

    async def read_as_of(self, work: Callable[[AsOfReader], T], as_of: datetime | None = None) -> T:
        """Run *work* on one state of the history, as it is now or as it was known at a moment, in a thread."""
        return await self._database.read_in_thread(lambda connection: work(AsOfReader(connection, as_of)))

    async def export(
        self,
        profiles: Collection[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        as_of: datetime | None = None,
    ) -> AsyncGenerator[tuple[str, str, int, float], None]:
        """Stream (profile, label, timestamp, value), by profile, position of the label, and time; as `export_blocks`.

        Close the iterator if you stop early.
        """
        async with aclosing(self.export_blocks(profiles, start, end, as_of)) as blocks:
            async for block in blocks:
                for timestamp, value in block.points:
                    yield block.profile, block.label, timestamp, value

    def export_blocks(  # noqa: PLR0913, PLR0917 - what an export is bounded by
        self,
        profiles: Collection[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        as_of: datetime | None = None,
        asked: dict[tuple[str, str], datetime] | None = None,
        series: Collection[str] = (),
    ) -> AsyncGenerator[Block, None]:
        """Stream (profile, label, [(timestamp, value)…], unit, normalization), many points at once, in constant memory.

        See `read.points.export_blocks`; *asked* is its *snapshot_times*, *series* its *series_labels*. All blocks are
        of one state of the store. Close the iterator if you stop early.
        """
        return self._database.stream(
            lambda connection: export_blocks(
                connection, profiles, start, end, as_of, snapshot_times=asked, series_labels=series
            )
        )

    def select_blocks(
        self, chosen: PointQuery, after: PointCursor | None = None
    ) -> AsyncGenerator[tuple[SelectedSeries, Sequence[tuple[int, float]]], None]:
        """Stream (series, [(timestamp, value)…]) of a selection, after the position *after*, in constant memory.

        Raises LookupError if the series of that position is not in the selection. Close the iterator if you stop early.
        """
        return self._database.stream(lambda connection: blocks(connection, chosen, after))

    def stream_view(self, work: Callable[[ReadView], Iterator[T]]) -> AsyncGenerator[T, None]:
        """Stream the items of *work* from one state of the store. Close the iterator if you stop early."""
        location = self._database.location
        return self._database.stream(lambda connection: work(ReadView(connection, location)))

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
    list_marks = _in_thread(ReadView.list_marks)
    newest_values = _in_thread(ReadView.newest_values)
    normalizations = _in_thread(ReadView.normalizations)
    clock_difference = _in_thread(ReadView.clock_difference)
    ahead = _in_thread(ReadView.ahead)
    grids = _in_thread(ReadView.grids)
    placed = _in_thread(ReadView.placed)
    count_groups = _in_thread(ReadView.count_groups)
    remainders = _in_thread(ReadView.remainders)
    differing_windows = _in_thread(ReadView.differing_windows)
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
    daily_group_sums = _in_thread(ReadView.daily_group_sums)
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
    refuses_path = _in_thread(ReadView.refuses_path)
    rejection_reason = _in_thread(ReadView.rejection_reason)
    refusals = _in_thread(ReadView.refusals)
    upstream = _in_thread(ReadView.upstream)
    catalogue_entries = _in_thread(ReadView.catalogue_entries)
    catalogue_states = _in_thread(ReadView.catalogue_states)
    next_details = _in_thread(ReadView.next_details)

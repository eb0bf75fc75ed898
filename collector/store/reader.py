"""The reading side of the store: every method sees one state of it and changes nothing."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar, Unpack

from collector.model import Window, from_epoch
from collector.store.db import state
from collector.store.db.database import State
from collector.store.ledger import (
    backfills,
    bodies,
    deviations,
    fetches,
    fires,
    heartbeat,
    lag,
    refusals,
    replicas,
    upstream,
)
from collector.store.ledger import budget as budgets
from collector.store.read import coverage, listing, status
from collector.store.read.as_of import History
from collector.store.read.downsample import thinned
from collector.store.read.gaps import Expected, Hole, beginnings, holes, requests
from collector.store.read.listing import Filter, Named
from collector.store.read.points import Block, points_in_force, points_of, visible_labels
from collector.store.read.selection import Selection, blocks, selected
from collector.store.read.series_states import daily_sums, series_states, unconfirmed
from collector.store.series import edges, generations, grids, identity, normalizations, snapshots
from collector.store.series.edges import history_begins
from collector.store.write import replays
from collector.store.write.annotations import doubtful

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
    from datetime import datetime, timedelta

    from collector.clock_difference import ClockDifference
    from collector.edge import Edge
    from collector.finality import GapRequest
    from collector.interval import AggInterval, Grid
    from collector.model import Batch, SeriesQuery
    from collector.normalization import Verdict
    from collector.profile import Profile, Reach
    from collector.store.db.database import Readable
    from collector.store.ledger.backfills import Backfill
    from collector.store.ledger.bodies import KeptBody
    from collector.store.ledger.budget import Budget
    from collector.store.ledger.deviations import Deviation
    from collector.store.ledger.fetches import NewestAnswer
    from collector.store.ledger.fires import Fire
    from collector.store.ledger.heartbeat import ServiceState
    from collector.store.ledger.refusals import Refusal
    from collector.store.ledger.replicas import Replica
    from collector.store.ledger.upstream import Restraint, Upstream
    from collector.store.read.downsample import Thinned
    from collector.store.read.listing import AnnotationRow, FetchRow, Filters, RevisionRow, SeriesRow
    from collector.store.read.selection import Place, SelectedSeries
    from collector.store.read.series_states import SeriesState
    from collector.store.read.status import Pause, ProfileStatus, StoreInfo
    from collector.store.series.generations import UnitChange
    from collector.store.series.grids import LearnedGrid
    from collector.store.series.identity import Renamed
    from collector.store.series.snapshots import PassRecord, Snapshot
    from collector.store.write.replays import ReadBody, Replayed
    from collector.windows import EpochWindow

T = TypeVar("T")


class Reader:
    """What can be read of a store."""

    def __init__(self, database: Readable) -> None:
        self._database = database

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._database.location.backend

    async def ask_history(self, work: Callable[[History], Awaitable[T]], as_of: datetime | None = None) -> T:
        """Do *work* on one state of the history, as it is now or as it was known at a moment.

        It runs in a thread and may wait for nothing but the history.
        """
        return await self._database.read_in_thread(lambda connection: work(History(connection, as_of)))

    async def look(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        """Do *work*, many short questions to the reader that it is given, on one state of the store.

        It runs in a thread and may wait for nothing but the answers.
        """
        location = self._database.location
        return await self._database.read_in_thread(lambda connection: work(Reader(State(location, connection))))

    async def spans(self, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, Window]:
        """Find the window from the oldest to the newest stored bucket of each query; absent where it has no point."""
        async with self._database.read() as connection:
            found = await identity.spans(connection, queries)
        return {q: Window(from_epoch(a), from_epoch(b) + q.agg_interval.step) for q, (a, b) in found.items()}

    async def newest(self, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, datetime]:
        """Find the start of the newest stored bucket of each query; absent where it has no point."""
        async with self._database.read() as connection:
            return {query: from_epoch(b) for query, (_, b) in (await identity.spans(connection, queries)).items()}

    async def relative(self, queries: Collection[SeriesQuery]) -> set[SeriesQuery]:
        """Find the queries whose newest answer was relative to itself, so that no two answers make one history."""
        async with self._database.read() as connection:
            return await identity.relative(connection, queries)

    async def snapshots(self, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, Snapshot]:
        """Find the newest snapshot of each query; absent where none was taken."""
        async with self._database.read() as connection:
            ids = {series_id: query for query, series_id in (await identity.current(connection, queries)).items()}
            return {ids[i]: found for i, found in (await snapshots.newest(connection, ids)).items()}

    async def snapshot_reaches(self, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, list[Reach]]:
        """Find how far back the profiles that have a query in use want its snapshots to reach."""
        async with self._database.read() as connection:
            ids = {series_id: query for query, series_id in (await identity.current(connection, queries)).items()}
            return {ids[i]: found for i, found in (await snapshots.reaches(connection, ids)).items()}

    async def snapshot_record(self, profile: str) -> PassRecord:
        """Tell how the passes that take the snapshots of *profile* fared."""
        return snapshots.load_record(await self.get_state(snapshots.record_key(profile)))

    async def asked_at(self, queries: Sequence[SeriesQuery], moment: datetime) -> dict[SeriesQuery, datetime]:
        """Find when an answer last covered the bucket at *moment*, per query; absent where none ever did."""
        async with self._database.read() as connection:
            return await coverage.asked_at(connection, queries, moment)

    async def upstream_lag(self, profile: str) -> timedelta:
        """Tell how far lastUpdated lay behind Radar's present in the newest answer for *profile*; zero before any."""
        async with self._database.read() as connection:
            return await coverage.upstream_lag(connection, profile)

    async def last_fires(self, profiles: Sequence[str]) -> dict[str, Fire]:
        """Find the newest due moment on record of each profile that has any."""
        async with self._database.read() as connection:
            return await fires.last_of(connection, profiles)

    async def last_fire(self, profile: str, now: datetime | None = None) -> Fire | None:
        """Find the newest due moment on record; with *now*, without what a wrong clock wrote ahead of it."""
        async with self._database.read() as connection:
            return await fires.last(connection, profile, now)

    async def list_replicas(self) -> list[Replica]:
        """List the processes that share the store, the oldest first; none on SQLite."""
        async with self._database.read() as connection:
            return await replicas.listed(connection)

    async def deviations(self) -> list[Deviation]:
        """List what answers have had otherwise than usual, each kind once, the oldest first."""
        async with self._database.read() as connection:
            return await deviations.listed(connection)

    async def rehearse_replay(self, read: ReadBody, now: datetime) -> Replayed:
        """Say what a replay of a kept body would do."""
        async with self._database.read() as connection:
            return await replays.rehearse(connection, read, now)

    async def kinds_without_example(self, kinds: Sequence[str]) -> list[str]:
        """Those of these kinds of deviation of which no body is kept."""
        async with self._database.read() as connection:
            return await deviations.without_example(connection, kinds)

    async def bodies(self, *, waiting: bool = False) -> list[KeptBody]:
        """List the kept bodies without their content, the oldest first; *waiting*: those that may be replayed."""
        async with self._database.read() as connection:
            return await bodies.listed(connection, waiting=waiting)

    async def body(self, fetch_id: int) -> bytes | None:
        """Return the kept body of a fetch, or the kept excerpt of it; None for none. StoreDamaged if it is damaged."""
        async with self._database.read() as connection:
            return await bodies.content(connection, fetch_id)

    async def question(self, fetch_id: int) -> Batch | None:
        """Read what the fetch of a kept body asked; None for none. StoreDamaged if the record is damaged."""
        async with self._database.read() as connection:
            return await bodies.question(connection, fetch_id)

    async def list_state(self) -> dict[str, str]:
        """Read all small facts, by key."""
        async with self._database.read() as connection:
            return await state.listed(connection)

    async def normalizations(self) -> list[Verdict]:
        """List what unknown normalizations were judged to mean, by name."""
        async with self._database.read() as connection:
            return await normalizations.listed(connection)

    async def clock_difference(self) -> ClockDifference:
        """Return what is known of how far the clock is ahead of Radar's."""
        async with self._database.read() as connection:
            return await lag.read_clock_difference(connection)

    async def ahead(self) -> timedelta:
        """Return how far the clock is ahead of Radar's: buckets that end in Radar's future are not there to ask for."""
        return (await self.clock_difference()).ahead

    async def grids(self) -> dict[AggInterval, Grid]:
        """Tell where the buckets of every interval start."""
        async with self._database.read() as connection:
            return await grids.in_force(connection)

    async def learned_grids(self) -> dict[AggInterval, LearnedGrid]:
        """Tell the same, and what it was before and may become."""
        async with self._database.read() as connection:
            return await grids.learned(connection)

    async def former_grids(self) -> list[AggInterval]:
        """List the intervals of which history on a former grid is kept."""
        async with self._database.read() as connection:
            return await grids.former(connection)

    async def has_history(self, interval: AggInterval) -> bool:
        """Tell whether any bucket of *interval* is stored on the grid in force."""
        async with self._database.read() as connection:
            return await grids.has_history(connection, interval)

    async def get_state(self, key: str) -> str | None:
        """Read a small fact; None where it is not known."""
        async with self._database.read() as connection:
            return await state.get(connection, key)

    async def backfill(self, backfill_id: int) -> Backfill | None:
        """Find a job by its id."""
        async with self._database.read() as connection:
            return await backfills.find(connection, backfill_id)

    async def open_backfills(self) -> list[Backfill]:
        """List the jobs that have not ended, the oldest first."""
        async with self._database.read() as connection:
            return await backfills.still_open(connection)

    async def list_backfills(self, limit: int | None = None) -> list[Backfill]:
        """List jobs, the newest first."""
        async with self._database.read() as connection:
            return await backfills.listed(connection, limit)

    async def answered(self, query: SeriesQuery, window: Window, since: datetime) -> list[Window]:
        """Find the parts of *window* that answers from *since* on have covered for a query, ascending."""
        async with self._database.read() as connection:
            return await coverage.answered(connection, query, window, since)

    async def holes(self, query: SeriesQuery, window: Window, settle: timedelta) -> list[Hole]:
        """Find the runs of absent buckets in *window*, ascending: `missing`, or `upstream` where Radar has none.

        `upstream`: an answer covered them whose lastUpdated is *settle* or more after the buckets' end.
        """
        async with self._database.read() as connection:
            (found,) = await holes(connection, [Expected(query, window, settle)])
        return found

    async def history_begins(self, series_id: int) -> datetime | None:
        """Tell where Radar's own history of a series begins; None while that is not proven."""
        async with self._database.read() as connection:
            return await history_begins(connection, series_id)

    async def holes_of(self, expected: Sequence[Expected]) -> list[list[Hole]]:
        """Find the holes of several series, in their order; as `holes`."""
        async with self._database.read() as connection:
            return await holes(connection, expected)

    async def gap_requests(
        self, expected: Sequence[Expected], now: datetime, *, explicit: bool = False
    ) -> list[list[GapRequest]]:
        """Decide what of the gaps of several series to ask for, in their order; see `finality.gap_requests`."""
        async with self._database.read() as connection:
            return await requests(connection, expected, now.timestamp(), explicit=explicit)

    async def edges(self, queries: Collection[SeriesQuery]) -> dict[SeriesQuery, Edge]:
        """Read where Radar's own history of *queries* begins, accepted or not; absent where that is not known."""
        async with self._database.read() as connection:
            return await edges.read(connection, queries)

    async def beginnings(self, expected: Sequence[Expected]) -> list[EpochWindow | None]:
        """Find the run of absent buckets that each window begins with, if answers lacked all of it; in their order."""
        async with self._database.read() as connection:
            return await beginnings(connection, expected)

    async def series_states(self, queries: Collection[SeriesQuery]) -> dict[SeriesQuery, SeriesState]:
        """Read the extent of each query's series and the evidence for its values; absent if it has no point."""
        async with self._database.read() as connection:
            return await series_states(connection, list(queries))

    async def doubtful_annotations(self, after: datetime, until: datetime) -> list[tuple[str, datetime]]:
        """Find (dataset, start date) of the annotations of which one answer alone has spoken, between two moments."""
        async with self._database.read() as connection:
            return await doubtful(connection, after, until)

    async def daily_sums(self, query: SeriesQuery, window: Window, offset: int = 0) -> dict[int, float]:
        """Sum the stored values of *query* by day: epoch seconds of its begin to the sum; absent without a point.

        Days begin *offset* seconds after midnight UTC.
        """
        async with self._database.read() as connection:
            return await daily_sums(connection, query, window, offset)

    async def unconfirmed(self, profiles: Sequence[Profile]) -> dict[str, int]:
        """Count the points of each profile that are final and that only one answer has told."""
        async with self._database.read() as connection:
            return await unconfirmed(connection, profiles)

    async def list_series(self, **chosen: Unpack[Filters]) -> list[SeriesRow]:
        """List series with their labels; keywords as in Filter: those with a point between start and end."""
        async with self._database.read() as connection:
            return await listing.list_series(connection, Filter(**chosen))

    async def renamed(self, profiles: Collection[str] = (), labels: Collection[str] = ()) -> list[Renamed]:
        """List the labels of *profiles*, and those of *labels*, that are no longer in use while their series is.

        A profile or label that is in use again is not among them.
        """
        async with self._database.read() as connection:
            return await identity.renamed(connection, profiles, labels)

    async def of_profile(self, profile: str | None) -> Named:
        """Choose the series and revisions of *profile*: for one that was renamed by the labels that are in use now."""
        followed = await self.renamed([profile]) if profile is not None else []
        if not followed:
            return Named(profile)
        old = {one.label for one in followed}
        kept = {row.label for row in await self.list_series(profile=profile)} - old
        return Named(None, {one.new_label for one in followed} | kept)

    async def list_fetches(self, **chosen: Unpack[Filters]) -> list[FetchRow]:
        """List requests, the newest first; keywords as in Filter, start and end bound when it was sent."""
        async with self._database.read() as connection:
            return await listing.list_fetches(connection, Filter(**chosen))

    async def list_annotations(self, **chosen: Unpack[Filters]) -> list[AnnotationRow]:
        """List annotations by start date; keywords as in Filter, of which *profile* changes nothing."""
        async with self._database.read() as connection:
            return await listing.list_annotations(connection, Filter(**chosen))

    async def list_revisions(self, **chosen: Unpack[Filters]) -> list[RevisionRow]:
        """List values that were replaced, by series, bucket and time; keywords as in Filter, for the bucket."""
        async with self._database.read() as connection:
            return await listing.list_revisions(connection, Filter(**chosen))

    async def list_fires(self, **chosen: Unpack[Filters]) -> list[Fire]:
        """List due moments and their outcomes, the newest first; keywords as in Filter."""
        async with self._database.read() as connection:
            return await listing.list_fires(connection, Filter(**chosen))

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

    async def export_blocks(
        self,
        profiles: Collection[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        as_of: datetime | None = None,
        asked: dict[tuple[str, str], datetime] | None = None,
    ) -> AsyncGenerator[Block, None]:
        """Stream (profile, label, [(timestamp, value)…], unit, normalization), many points at once, in constant memory.

        Where the unit has changed, of each bucket the series counts that was in force last.

        *profiles* names profiles, none means all; *start* is inclusive, *end* is not. *as_of* gives what was known at
        that moment. Of a snapshot series the newest snapshot is given, or the newest at *as_of*; when it was asked for
        is put into *asked*, by (profile, label), before the first block. One state of the store is seen from first to
        last; who stops early should close the iterator.
        """
        async with self._database.read() as connection:
            found = await visible_labels(connection, profiles)
            several = await generations.several(connection, as_of)
            taken = snapshots.standing(await snapshots.newest(connection, None, as_of), several)
            if asked is not None:
                asked |= {(o.profile, o.label): taken[o.series_id].asked_at for o in found if o.series_id in taken}
            for one in found:
                if one.series_id in several and one.series_id not in taken:
                    same = several[one.series_id]
                    async with aclosing(points_in_force(connection, same, start, end, as_of)) as parts:
                        async for part, rows in parts:
                            yield Block(one.profile, one.label, rows, part.unit, part.normalization)
                    continue
                known = taken.get(one.series_id)
                same = [part for part in several.get(one.series_id, ()) if known and part.id == known.series_id]
                measure = (same[0].unit, same[0].normalization) if same else (one.unit, one.normalization)
                series_id, asked_at = (known.series_id, known.asked_at) if known else (one.series_id, None)
                stream = points_of(connection, series_id, start, end, as_of, asked_at=asked_at)
                async with aclosing(stream) as blocks:
                    async for rows in blocks:
                        yield Block(one.profile, one.label, rows, *measure)

    async def select_blocks(
        self, chosen: Selection, after: Place | None = None
    ) -> AsyncGenerator[tuple[SelectedSeries, Sequence[tuple[int, float]]], None]:
        """Stream (series, [(timestamp, value)…]) of a selection, from behind the place *after* on, in constant memory.

        LookupError where that place's series is not of the selection. Who stops early should close the iterator.
        """
        async with self._database.read() as connection, aclosing(blocks(connection, chosen, after)) as found:
            async for one in found:
                yield one

    async def selected(self, chosen: Selection) -> list[SelectedSeries]:
        """List the series of a selection, by profile and the labels' positions."""
        async with self._database.read() as connection:
            return await selected(connection, chosen)

    async def thin(self, chosen: Selection, columns: int, *, common: bool = False) -> list[Thinned]:
        """Read a selection in about so many *columns* over its time, each with its extremes.

        *common*: all series in buckets of one width, so that their counts compare; `Thinned.bucket` tells which.
        """
        async with self._database.read() as connection:
            return await thinned(connection, chosen, columns, common=common)

    async def unit_changes(self, queries: Sequence[SeriesQuery]) -> list[UnitChange]:
        """List where the unit or normalization of *queries* has changed, and what is proposed; by query and time."""
        async with self._database.read() as connection:
            return await generations.unit_changes(connection, queries)

    async def newest_answer(self, profile: str) -> NewestAnswer | None:
        """Find what the newest answer for *profile* said of itself; None before the first."""
        async with self._database.read() as connection:
            return await fetches.newest_answer(connection, profile)

    async def status_rows(self, profiles: Sequence[Profile]) -> list[ProfileStatus]:
        """Tell how each of *profiles* fares, in their order."""
        async with self._database.read() as connection:
            return await status.status_rows(connection, profiles)

    async def service(self) -> ServiceState | None:
        """Tell whether a service runs on the store; None if none was ever seen."""
        async with self._database.read() as connection:
            return await heartbeat.read(connection, self._database.location)

    async def commands(self) -> list[str]:
        """List the commands other than a service that are at work on the store."""
        async with self._database.read() as connection:
            return await heartbeat.commands(connection, self._database.location)

    async def paused(self, queries: Sequence[SeriesQuery], now: datetime) -> dict[SeriesQuery, Pause]:
        """Find the questions that are paused at *now* because an answer was refused for its content."""
        async with self._database.read() as connection:
            return await status.paused(connection, queries, now)

    async def empty(self, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, timedelta]:
        """Find the queries without a stored value other than zero, with the length of time that answers covered."""
        async with self._database.read() as connection:
            return await status.empty(connection, queries)

    async def measures(self, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, str]:
        """Find the normalization of each query's series; absent before the first answer."""
        async with self._database.read() as connection:
            return await status.measures(connection, queries)

    async def whole(self, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, Window]:
        """Find the window from the oldest to the newest stored bucket of those queries that have all in between."""
        async with self._database.read() as connection:
            found = await status.whole(connection, queries)
        return {q: Window(from_epoch(a), from_epoch(b) + q.agg_interval.step) for q, (a, b) in found.items()}

    async def info(self) -> StoreInfo:
        """Tell what is in the store, and how many bytes it takes."""
        async with self._database.read() as connection:
            return await status.info(connection, self._database.location)

    async def budget(self, now: datetime, limit: int) -> Budget:
        """Tell how much of the request budget of *limit* is used."""
        async with self._database.read() as connection:
            return await budgets.budget(connection, now, limit)

    async def budget_free_at(self, now: datetime, budget: Budget) -> datetime | None:
        """Tell when the next request may be sent if the *budget* is spent; None if it is not."""
        async with self._database.read() as connection:
            return await budgets.free_at(connection, now, budget)

    async def restraints(self, credentials: str, now: datetime) -> list[Restraint]:
        """Tell what keeps requests with these credentials from being sent now."""
        async with self._database.read() as connection:
            return await upstream.restraints(connection, credentials, now)

    async def refused(self, credentials: str) -> str | None:
        """Tell in Radar's words why it does not take the credentials; None where it does, or was not asked."""
        async with self._database.read() as connection:
            return await upstream.refused(connection, credentials)

    async def refusals(self, now: datetime | None = None) -> list[Refusal]:
        """List the questions that are not asked at *now*, by when they are; without it all that were refused last."""
        async with self._database.read() as connection:
            found = await refusals.listed(connection)
        return [one for one in found if now is None or one.pauses(now)]

    async def upstream(self, now: datetime) -> Upstream:
        """Tell how Radar stands."""
        async with self._database.read() as connection:
            return await upstream.upstream(connection, now)

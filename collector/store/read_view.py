"""All that can be read of a store, from one state of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, Unpack

from collector.model import Window
from collector.store.db import state
from collector.store.ledger import backfills, bodies, fetches, fires, replicas, upstream
from collector.store.ledger import upstream as budgets
from collector.store.read import gaps, listing, status
from collector.store.read.downsample import downsampled
from collector.store.read.gaps import ExpectedWindow, GapWindow, beginnings, holes, requests
from collector.store.read.listing import ListFilter, Named
from collector.store.read.selection import PointQuery, selected
from collector.store.read.status import daily_sums, series_states, unconfirmed
from collector.store.series import edges, generations, grids, identity, normalizations, snapshots
from collector.store.series.edges import history_begins
from collector.store.write import replays
from collector.store.write.annotations import doubtful
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

    import sqlalchemy as sa

    from collector.interval import AggInterval, Grid
    from collector.model import Batch, Question
    from collector.profile import Profile, Reach
    from collector.rules.clock_difference import ClockDifference
    from collector.rules.edge import Edge
    from collector.rules.finality import GapRequest
    from collector.rules.normalization import Verdict
    from collector.store.db.engine import Location
    from collector.store.ledger.backfills import BackfillJob
    from collector.store.ledger.bodies import Deviation, KeptBody
    from collector.store.ledger.fetches import NewestAnswer
    from collector.store.ledger.fires import Fire
    from collector.store.ledger.replicas import Replica, ServiceState
    from collector.store.ledger.upstream import Budget, Refusal, Throttle, UpstreamHealth
    from collector.store.read.downsample import Downsampled
    from collector.store.read.listing import AnnotationRow, FetchRow, Filters, RevisionRow, SeriesRow
    from collector.store.read.selection import SelectedSeries
    from collector.store.read.status import Pause, ProfileStatus, SeriesState, StoreInfo
    from collector.store.series.generations import UnitChange
    from collector.store.series.grids import LearnedGrid
    from collector.store.series.identity import Renamed
    from collector.store.series.snapshots import PassRecord, Snapshot
    from collector.store.write.replays import ReadBody, Replayed
    from collector.windows import EpochWindow

T = TypeVar("T")


class ReadView:
    """One state of a store, under a transaction that is open."""

    def __init__(self, connection: sa.Connection, location: Location) -> None:
        self._connection = connection
        self._location = location

    def extents(self, queries: Sequence[Question]) -> dict[Question, Window]:
        """Find the window from the oldest to the newest stored bucket of each query; absent where it has no point."""
        found = identity.extents(self._connection, queries)
        return {q: Window(from_epoch(a), from_epoch(b) + q.agg_interval.step) for q, (a, b) in found.items()}

    def newest_buckets(self, queries: Sequence[Question]) -> dict[Question, datetime]:
        """Find the start of the newest stored bucket of each query; absent where it has no point."""
        return {query: from_epoch(b) for query, (_, b) in identity.extents(self._connection, queries).items()}

    def relative_queries(self, queries: Collection[Question]) -> set[Question]:
        """Find the queries whose newest answer was relative to itself, so that no two answers make one history."""
        return identity.relative(self._connection, queries)

    def snapshots(self, queries: Sequence[Question]) -> dict[Question, Snapshot]:
        """Find the newest snapshot of each query; absent where none was taken."""
        ids = {series_id: query for query, series_id in identity.current(self._connection, queries).items()}
        return {ids[i]: found for i, found in snapshots.newest(self._connection, ids).items()}

    def snapshot_reaches(self, queries: Sequence[Question]) -> dict[Question, list[Reach]]:
        """Find how far back the profiles that have a query in use want its snapshots to reach."""
        ids = {series_id: query for query, series_id in identity.current(self._connection, queries).items()}
        return {ids[i]: found for i, found in snapshots.reaches(self._connection, ids).items()}

    def snapshot_record(self, profile: str) -> PassRecord:
        """Tell how the passes that take the snapshots of *profile* fared."""
        return snapshots.load_record(self.get_state(snapshots.record_key(profile)))

    def last_covered_at(self, queries: Sequence[Question], moment: datetime) -> dict[Question, datetime]:
        """Find when an answer last covered the bucket at *moment*, per query; absent where none ever did."""
        return gaps.last_covered_at(self._connection, queries, moment)

    def upstream_lag(self, profile: str) -> timedelta:
        """Tell how far lastUpdated lay behind Radar's present in the newest answer for *profile*; zero before any."""
        return gaps.upstream_lag(self._connection, profile)

    def last_fires(self, profiles: Sequence[str]) -> dict[str, Fire]:
        """Find the newest due moment on record of each profile that has any."""
        return fires.last_of(self._connection, profiles)

    def last_fire(self, profile: str, now: datetime | None = None) -> Fire | None:
        """Find the newest due moment on record; with *now*, without what a wrong clock wrote ahead of it."""
        return fires.last(self._connection, profile, now)

    def list_replicas(self) -> list[Replica]:
        """List the processes that share the store, the oldest first; none on SQLite."""
        return replicas.listed(self._connection)

    def deviations(self) -> list[Deviation]:
        """List what answers have had otherwise than usual, each kind once, the oldest first."""
        return bodies.list_deviations(self._connection)

    def rehearse_replay(self, read: ReadBody, now: datetime) -> Replayed:
        """Say what a replay of a kept body would do."""
        return replays.rehearse(self._connection, read, now)

    def kinds_without_example(self, kinds: Sequence[str]) -> list[str]:
        """Those of these kinds of deviation of which no body is kept."""
        return bodies.without_example(self._connection, kinds)

    def bodies(self, *, waiting: bool = False) -> list[KeptBody]:
        """List the kept bodies without their content, the oldest first; *waiting*: those that may be replayed."""
        return bodies.list_bodies(self._connection, waiting=waiting)

    def body(self, fetch_id: int) -> bytes | None:
        """Return the kept body of a fetch, or the kept excerpt of it; None for none. StoreCorrupt if it is damaged."""
        return bodies.content(self._connection, fetch_id)

    def question(self, fetch_id: int) -> Batch | None:
        """Read what the fetch of a kept body asked; None for none. StoreCorrupt if the record is damaged."""
        return bodies.question(self._connection, fetch_id)

    def list_state(self) -> dict[str, str]:
        """Read all small facts, by key."""
        return state.listed(self._connection)

    def normalizations(self) -> list[Verdict]:
        """List what unknown normalizations were judged to mean, by name."""
        return normalizations.listed(self._connection)

    def clock_difference(self) -> ClockDifference:
        """Return what is known of how far the clock is ahead of Radar's."""
        return fires.read_clock_difference(self._connection)

    def ahead(self) -> timedelta:
        """Return how far the clock is ahead of Radar's: buckets that end in Radar's future are not there to ask for."""
        return self.clock_difference().ahead

    def grids(self) -> dict[AggInterval, Grid]:
        """Tell where the buckets of every interval start."""
        return grids.in_force(self._connection)

    def learned_grids(self) -> dict[AggInterval, LearnedGrid]:
        """Tell the same, and what it was before and may become."""
        return grids.learned(self._connection)

    def former_grids(self) -> list[AggInterval]:
        """List the intervals of which history on a former grid is kept."""
        return grids.former(self._connection)

    def has_history(self, interval: AggInterval) -> bool:
        """Tell whether any bucket of *interval* is stored on the grid in force."""
        return grids.has_history(self._connection, interval)

    def get_state(self, key: str) -> str | None:
        """Read a small fact; None where it is not known."""
        return state.get(self._connection, key)

    def backfill(self, backfill_id: int) -> BackfillJob | None:
        """Find a job by its id."""
        return backfills.find(self._connection, backfill_id)

    def open_backfills(self) -> list[BackfillJob]:
        """List the jobs that have not ended, the oldest first."""
        return backfills.still_open(self._connection)

    def list_backfills(self, limit: int | None = None) -> list[BackfillJob]:
        """List jobs, the newest first."""
        return backfills.listed(self._connection, limit)

    def covered_windows(self, query: Question, window: Window, since: datetime) -> list[Window]:
        """Find the parts of *window* that answers from *since* on have covered for a query, ascending."""
        return gaps.answered(self._connection, query, window, since)

    def gaps(self, query: Question, window: Window, settle: timedelta) -> list[GapWindow]:
        """Find the runs of absent buckets in *window*, ascending: `missing`, or `upstream` where Radar has none.

        `upstream`: an answer covered them whose lastUpdated is *settle* or more after the buckets' end.
        """
        (found,) = holes(self._connection, [ExpectedWindow(query, window, settle)])
        return found

    def history_begins(self, series_id: int) -> datetime | None:
        """Tell where Radar's own history of a series begins; None while that is not proven."""
        return history_begins(self._connection, series_id)

    def find_gaps(self, expected: Sequence[ExpectedWindow]) -> list[list[GapWindow]]:
        """Find the holes of several series, in their order; as `holes`."""
        return holes(self._connection, expected)

    def gap_requests(
        self, expected: Sequence[ExpectedWindow], now: datetime, *, explicit: bool = False
    ) -> list[list[GapRequest]]:
        """Decide what of the gaps of several series to ask for, in their order; see `finality.gap_requests`."""
        return requests(self._connection, expected, now.timestamp(), explicit=explicit)

    def edges(self, queries: Collection[Question]) -> dict[Question, Edge]:
        """Read where Radar's own history of *queries* begins, accepted or not; absent where that is not known."""
        return edges.read(self._connection, queries)

    def beginnings(self, expected: Sequence[ExpectedWindow]) -> list[EpochWindow | None]:
        """Find the run of absent buckets that each window begins with, if answers lacked all of it; in their order."""
        return beginnings(self._connection, expected)

    def series_states(self, queries: Collection[Question]) -> dict[Question, SeriesState]:
        """Read the extent of each query's series and the evidence for its values; absent if it has no point."""
        return series_states(self._connection, list(queries))

    def doubtful_annotations(self, after: datetime, until: datetime) -> list[tuple[str, datetime]]:
        """Find (dataset, start date) of the annotations of which one answer alone has spoken, between two moments."""
        return doubtful(self._connection, after, until)

    def daily_sums(self, query: Question, window: Window, offset: int = 0) -> dict[int, float]:
        """Sum the stored values of *query* by day: epoch seconds of its begin to the sum; absent without a point.

        Days begin *offset* seconds after midnight UTC.
        """
        return daily_sums(self._connection, query, window, offset)

    def unconfirmed(self, profiles: Sequence[Profile]) -> dict[str, int]:
        """Count the points of each profile that are final and that only one answer has told."""
        return unconfirmed(self._connection, profiles)

    def list_series(self, **chosen: Unpack[Filters]) -> list[SeriesRow]:
        """List series with their labels; keywords as in Filter: those with a point between start and end."""
        return listing.list_series(self._connection, ListFilter(**chosen))

    def renamed(self, profiles: Collection[str] = (), labels: Collection[str] = ()) -> list[Renamed]:
        """List the labels of *profiles*, and those of *labels*, that are no longer in use while their series is.

        A profile or label that is in use again is not among them.
        """
        return identity.renamed(self._connection, profiles, labels)

    def of_profile(self, profile: str | None) -> Named:
        """Choose the series and revisions of *profile*: for one that was renamed by the labels that are in use now."""
        followed = self.renamed([profile]) if profile is not None else []
        if not followed:
            return Named(profile)
        old = {one.label for one in followed}
        kept = {row.label for row in self.list_series(profile=profile)} - old
        return Named(None, {one.new_label for one in followed} | kept)

    def list_fetches(self, **chosen: Unpack[Filters]) -> list[FetchRow]:
        """List requests, the newest first; keywords as in Filter, start and end bound when it was sent."""
        return listing.list_fetches(self._connection, ListFilter(**chosen))

    def list_annotations(self, **chosen: Unpack[Filters]) -> list[AnnotationRow]:
        """List annotations by start date; keywords as in Filter, of which *profile* changes nothing."""
        return listing.list_annotations(self._connection, ListFilter(**chosen))

    def list_revisions(self, **chosen: Unpack[Filters]) -> list[RevisionRow]:
        """List values that were replaced, by series, bucket and time; keywords as in Filter, for the bucket."""
        return listing.list_revisions(self._connection, ListFilter(**chosen))

    def list_fires(self, **chosen: Unpack[Filters]) -> list[Fire]:
        """List due moments and their outcomes, the newest first; keywords as in Filter."""
        return listing.list_fires(self._connection, ListFilter(**chosen))

    def selected(self, chosen: PointQuery) -> list[SelectedSeries]:
        """List the series of a selection, by profile and the labels' positions."""
        return selected(self._connection, chosen)

    def downsample(self, chosen: PointQuery, columns: int, *, common: bool = False) -> list[Downsampled]:
        """Read a selection in about so many *columns* over its time, each with its extremes.

        *common*: all series in buckets of one width, so that their counts compare; `Downsampled.bucket` tells which.
        """
        return downsampled(self._connection, chosen, columns, common=common)

    def unit_changes(self, queries: Sequence[Question]) -> list[UnitChange]:
        """List where the unit or normalization of *queries* has changed, and what is proposed; by query and time."""
        return generations.unit_changes(self._connection, queries)

    def newest_answer(self, profile: str) -> NewestAnswer | None:
        """Find what the newest answer for *profile* said of itself; None before the first."""
        return fetches.newest_answer(self._connection, profile)

    def status_rows(self, profiles: Sequence[Profile]) -> list[ProfileStatus]:
        """Tell how each of *profiles* fares, in their order."""
        return status.status_rows(self._connection, profiles)

    def service(self) -> ServiceState | None:
        """Tell whether a service runs on the store; None if none was ever seen."""
        return replicas.read(self._connection, self._location)

    def commands(self) -> list[str]:
        """List the commands other than a service that are at work on the store."""
        return replicas.commands(self._connection, self._location)

    def paused(self, queries: Sequence[Question], now: datetime) -> dict[Question, Pause]:
        """Find the questions that are paused at *now* because an answer was refused for its content."""
        return status.paused(self._connection, queries, now)

    def empty(self, queries: Sequence[Question]) -> dict[Question, timedelta]:
        """Find the queries without a stored value other than zero, with the length of time that answers covered."""
        return status.empty(self._connection, queries)

    def measures(self, queries: Sequence[Question]) -> dict[Question, str]:
        """Find the normalization of each query's series; absent before the first answer."""
        return status.measures(self._connection, queries)

    def complete_extents(self, queries: Sequence[Question]) -> dict[Question, Window]:
        """Find the window from the oldest to the newest stored bucket of those queries that have all in between."""
        found = status.complete_extents(self._connection, queries)
        return {q: Window(from_epoch(a), from_epoch(b) + q.agg_interval.step) for q, (a, b) in found.items()}

    def info(self) -> StoreInfo:
        """Tell what is in the store, and how many bytes it takes."""
        return status.info(self._connection, self._location)

    def budget(self, now: datetime, limit: int) -> Budget:
        """Tell how much of the request budget of *limit* is used."""
        return budgets.budget(self._connection, now, limit)

    def budget_free_at(self, now: datetime, budget: Budget) -> datetime | None:
        """Tell when the next request may be sent if the *budget* is spent; None if it is not."""
        return budgets.free_at(self._connection, now, budget)

    def throttles(self, credentials: str, now: datetime) -> list[Throttle]:
        """Tell what keeps requests with these credentials from being sent now."""
        return upstream.throttles(self._connection, credentials, now)

    def rejection_reason(self, credentials: str) -> str | None:
        """Tell in Radar's words why it does not take the credentials; None where it does, or was not asked."""
        return upstream.refused(self._connection, credentials)

    def refusals(self, now: datetime | None = None) -> list[Refusal]:
        """List the questions that are not asked at *now*, by when they are; without it all that were refused last."""
        found = upstream.list_refusals(self._connection)
        return [one for one in found if now is None or one.pauses(now)]

    def upstream(self, now: datetime) -> UpstreamHealth:
        """Tell how Radar stands."""
        return upstream.upstream(self._connection, now)

"""The reading side of the store: every method sees one state of it and changes nothing."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar, Unpack

from collector.model import Window, from_epoch
from collector.store import (
    answers,
    backfills,
    coverage,
    facts,
    fetches,
    fires,
    heartbeat,
    listing,
    replicas,
    series,
    status,
    upstream,
)
from collector.store.export import points_of, visible_labels
from collector.store.history import History
from collector.store.holes import Expected, Hole, holes
from collector.store.listing import Filter
from collector.store.readable import State
from collector.store.selection import Selection, blocks, thinned

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
    from datetime import datetime, timedelta

    from collector.model import SeriesQuery
    from collector.profile import Profile
    from collector.store.answers import NewestAnswer
    from collector.store.backfills import Backfill
    from collector.store.fetches import Budget
    from collector.store.fires import Fire
    from collector.store.heartbeat import ServiceState
    from collector.store.listing import AnnotationRow, FetchRow, Filters, RevisionRow, SeriesRow
    from collector.store.readable import Readable
    from collector.store.replicas import Replica
    from collector.store.selection import Place, SelectedSeries, Thinned
    from collector.store.status import Pause, ProfileStatus, StoreInfo
    from collector.store.upstream import Restraint, Upstream

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
            found = await series.spans(connection, queries)
        return {q: Window(from_epoch(a), from_epoch(b) + q.agg_interval.step) for q, (a, b) in found.items()}

    async def newest(self, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, datetime]:
        """Find the start of the newest stored bucket of each query; absent where it has no point."""
        async with self._database.read() as connection:
            return {query: from_epoch(b) for query, (_, b) in (await series.spans(connection, queries)).items()}

    async def relative(self, queries: Collection[SeriesQuery]) -> set[SeriesQuery]:
        """Find the queries whose newest answer was relative to itself, so that no two answers make one history."""
        async with self._database.read() as connection:
            return await series.relative(connection, queries)

    async def asked_at(self, queries: Sequence[SeriesQuery], moment: datetime) -> dict[SeriesQuery, datetime]:
        """Find when an answer last covered the bucket at *moment*, per query; absent where none ever did."""
        async with self._database.read() as connection:
            return await coverage.asked_at(connection, queries, moment)

    async def upstream_lag(self, profile: str) -> timedelta:
        """Tell how far lastUpdated lay behind the clock in the newest answer for *profile*; zero before the first."""
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

    async def last_due(self, profile: str) -> datetime | None:
        """Find the newest due moment of *profile* on record."""
        fire = await self.last_fire(profile)
        return fire.due if fire else None

    async def list_replicas(self) -> list[Replica]:
        """List the processes that share the store, the oldest first; none on SQLite."""
        async with self._database.read() as connection:
            return await replicas.listed(connection)

    async def get_state(self, key: str) -> str | None:
        """Read a small fact; None where it is not known."""
        async with self._database.read() as connection:
            return await facts.get(connection, key)

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

    async def holes_of(self, expected: Sequence[Expected]) -> list[list[Hole]]:
        """Find the holes of several series, in their order; as `holes`."""
        async with self._database.read() as connection:
            return await holes(connection, expected)

    async def list_series(self, **chosen: Unpack[Filters]) -> list[SeriesRow]:
        """List series with their labels; keywords as in Filter: those with a point between start and end."""
        async with self._database.read() as connection:
            return await listing.list_series(connection, Filter(**chosen))

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
            async for profile, label, block in blocks:
                for timestamp, value in block:
                    yield profile, label, timestamp, value

    async def export_blocks(
        self,
        profiles: Collection[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        as_of: datetime | None = None,
    ) -> AsyncGenerator[tuple[str, str, Sequence[tuple[int, float]]], None]:
        """Stream (profile, label, [(timestamp, value)…]), many points at once, in constant memory.

        *profiles* names profiles, none means all; *start* is inclusive, *end* is not. *as_of* gives what was known at
        that moment. One state of the store is seen from first to last; who stops early should close the iterator.
        """
        async with self._database.read() as connection:
            for profile, label, series_id in await visible_labels(connection, profiles):
                async with aclosing(points_of(connection, series_id, start, end, as_of)) as blocks:
                    async for block in blocks:
                        yield profile, label, block

    async def select_blocks(
        self, chosen: Selection, after: Place | None = None
    ) -> AsyncGenerator[tuple[SelectedSeries, Sequence[tuple[int, float]]], None]:
        """Stream (series, [(timestamp, value)…]) of a selection, from behind the place *after* on, in constant memory.

        LookupError where that place's series is not of the selection. Who stops early should close the iterator.
        """
        async with self._database.read() as connection, aclosing(blocks(connection, chosen, after)) as found:
            async for one in found:
                yield one

    async def thin(self, chosen: Selection, columns: int) -> list[Thinned]:
        """Read a selection in about so many *columns* over its time, each with its extremes."""
        async with self._database.read() as connection:
            return await thinned(connection, chosen, columns)

    async def newest_answer(self, profile: str) -> NewestAnswer | None:
        """Find what the newest answer for *profile* said of itself; None before the first."""
        async with self._database.read() as connection:
            return await answers.newest(connection, profile)

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

    async def unconfirmed(self, profiles: Sequence[Profile]) -> dict[str, int]:
        """Count the final buckets that only one answer told, by profile name.

        STUB of this branch: replace it with the real count when the branches are merged.
        """
        return {profile.name: 0 for profile in profiles}

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
            return await fetches.budget(connection, now, limit)

    async def budget_free_at(self, now: datetime, budget: Budget) -> datetime | None:
        """Tell when the next request may be sent if the *budget* is spent; None if it is not."""
        async with self._database.read() as connection:
            return await fetches.free_at(connection, now, budget)

    async def restraints(self, credentials: str, now: datetime) -> list[Restraint]:
        """Tell what keeps requests with these credentials from being sent now."""
        async with self._database.read() as connection:
            return await upstream.restraints(connection, credentials, now)

    async def refused(self, credentials: str) -> str | None:
        """Tell in Radar's words why it does not take the credentials; None where it does, or was not asked."""
        async with self._database.read() as connection:
            return await upstream.refused(connection, credentials)

    async def upstream(self, now: datetime) -> Upstream:
        """Tell how Radar stands."""
        async with self._database.read() as connection:
            return await upstream.upstream(connection, now)

"""The service: starts everything, owns the tasks, and stops them in reverse order.

A generation is what runs under one configuration. A reload drains it and starts the next one on the same store.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import zlib
from collections import defaultdict
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from collector.collect.backfill import estimate, unanswered
from collector.collect.batches.batch_runner import BatchRunner
from collector.collect.batches.fetcher import Fetcher, ShuttingDown
from collector.collect.catalogue import keep_catalogue, refresh_now
from collector.collect.fallback import Fallback
from collector.collect.kept_bodies import replay
from collector.collect.lease import hold_lease
from collector.collect.maintenance import Heartbeat, build_days, do_backfills, keep_history, regroup_coverage
from collector.collect.schedule import Schedule
from collector.collect.worker import ProfileWorker, first_of
from collector.errors import CollectorError, os_error_text
from collector.radar.client import RadarClient
from collector.radar.errors import Unavailable
from collector.report.readiness import PATIENCE, current_wait, due_past_grace, find_stalls, late_reason
from collector.report.warnings import SpellingCheck
from collector.retry import backoff
from collector.serve.app import make_app, serving
from collector.serve.metrics import Metrics
from collector.store import Store, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from datetime import datetime

    from collector.model import RequestKind, Slice
    from collector.profile import Profile
    from collector.report.readiness import Stall
    from collector.settings import ServerSettings, Settings
    from collector.store import BackfillJob, BackfillRequest, Compacted, Pruned, ReadView, SeriesDeletion

log = logging.getLogger(__name__)

_DRAIN = 6.0
"""Seconds that requests under way are given to end when the service stops."""
_WIDEST_SPREAD = 20
_LOOK_FOR_WARNINGS = 3600.0
_LOOK_FOR_GRIDS = 60.0
_WARN_AGAIN = timedelta(days=1)


async def run(
    settings: Settings,
    reload: Callable[[], Settings],
    *,
    told_before: Signals | None = None,
    announce: Callable[[str], None] = lambda _address: None,
    clock: Callable[[], datetime] | None = None,
) -> None:
    """Run the service until SIGTERM or SIGINT; *reload* loads the configuration again on SIGHUP.

    *told_before* has the signals that arrived earlier. *announce* is called with the address of the server. Without a
    *clock*, the time comes from the store.
    """
    starting = Starting(told_before)
    try:
        await _run_daemon(settings, reload, clock, announce, starting)
    except asyncio.CancelledError:
        log.info("stopped")


async def _run_daemon(
    settings: Settings,
    reload: Callable[[], Settings],
    clock: Callable[[], datetime] | None,
    announce: Callable[[str], None],
    starting: Starting,
) -> None:
    async with AsyncExitStack() as stack:
        database = settings.database
        opened = Store.open(database.url.reveal(), owner="run", upgrade=database.upgrade, timescale=database.timescale)
        store = await stack.enter_async_context(opened)
        service = Daemon(settings, store, reload, clock or store.clock)
        if settings.server.enabled:
            address = await stack.enter_async_context(_server(service, settings.server))
            await store.announce(address)
            log.info("serving", extra={"url": address})
            announce(address)
        service.install_signal_handlers()
        if starting.reload_requested:
            service.reload()
        await service.run()


def _log_prune_failure(task: asyncio.Task[Pruned]) -> None:
    """Log why pruning failed, because its caller may have stopped waiting."""
    if not task.cancelled() and (error := task.exception()):
        log.error("prune", extra={"outcome": "failed", "reason": str(error)})


def _log_compaction(task: asyncio.Task[Compacted]) -> None:
    """Log the outcome, because the caller may have stopped waiting."""
    if task.cancelled():
        log.warning("compact", extra={"outcome": "cancelled"})
    elif error := task.exception():
        log.error("compact", extra={"outcome": "failed", "reason": str(error)})
    else:
        log.info("compact", extra={"outcome": "ok", **asdict(task.result())})


@asynccontextmanager
async def _server(service: Daemon, server: ServerSettings) -> AsyncIterator[str]:
    token = None if server.anonymous_read else server.token
    try:
        fill = service.fill if server.upstream_fallback else None
        named: dict[str, Any] = {"hosts": server.hosts, "base_path": server.base_path}
        named["metrics_values"] = server.metrics_values
        app = make_app(service, server.host, token, write_token=server.token, fill=fill, **named)
        async with serving(app, server.host, server.port) as address:
            yield f"{address}{server.base_path}"
    except OSError as error:
        hint = "; another port: server.port, or demo --port" if error.errno == errno.EADDRINUSE else ""
        raise CollectorError(f"cannot serve on {server.host}:{server.port}: {os_error_text(error)}{hint}") from None


def groups(profiles: tuple[Profile, ...]) -> dict[tuple[RequestKind, timedelta], list[Profile]]:
    """The profiles that are due together, by (kind of requests without the dimension, delay of the due moment)."""
    grouped: dict[tuple[RequestKind, timedelta], list[Profile]] = defaultdict(list)
    for profile in profiles:
        grouped[profile.request_kind._replace(dimension=""), profile.due_delay].append(profile)
    return dict(grouped)


def host_jitter() -> timedelta:
    """Return a small delay, constant on one host, so that collectors do not all send requests in the same second."""
    return timedelta(seconds=zlib.crc32(socket.gethostname().encode()) % _WIDEST_SPREAD)


class Daemon:
    """The supervisor: runs generations until it is stopped, and knows whether the service is ready."""

    def __init__(
        self, settings: Settings, store: Store, reload: Callable[[], Settings], clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self.store = store
        self._reload = reload
        self.now = clock
        self._started = clock()
        self._stopping = False
        self._stop = asyncio.Event()
        self._submitted = asyncio.Event()
        self._workers: list[ProfileWorker] = []
        self._fallback: Fallback | None = None
        self._fetcher: Fetcher | None = None
        self.metrics = Metrics()
        self._heartbeat = Heartbeat(store, clock, self.metrics)
        self._collected_since: dict[str, datetime] = {}
        self._pruning: asyncio.Task[Pruned] | None = None
        self._compacting: asyncio.Task[Compacted] | None = None

    def install_signal_handlers(self) -> None:
        """Drain on SIGTERM and SIGINT, reload the configuration on SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def stop(self) -> None:
        """Stop the service after the requests in flight."""
        log.info("stopping")
        self._stopping = True
        self._stop.set()

    def reload(self) -> None:
        """Load the configuration again and start the next generation; log an invalid one and keep the old."""
        try:
            settings = self._reload()
        except CollectorError as error:
            log.error("reload", extra={"outcome": "refused", "reason": str(error)})  # noqa: TRY400 - no traceback
            return
        kept = [name for name in ("database", "server") if getattr(settings, name) != getattr(self._settings, name)]
        log.info("reload", extra={"outcome": "ok", "needs_restart": ",".join(kept) or None})
        self._settings = settings
        self._stop.set()

    async def run(self) -> None:
        """Run generation after generation until the service is stopped. A lost lease starts the next one."""
        async with self._heartbeat.beating():
            await self._run()
        for task in (self._pruning, self._compacting):
            if task:
                task.cancel()
        log.info("stopped")

    async def _run(self) -> None:
        failures = 0
        while not self._stopping:
            self._stop = asyncio.Event()
            try:
                settings = self._settings = await self._placed(self._settings)
                async with hold_lease(self.store, settings.profiles, settings.database.lease, self._stop):
                    await self.store.interrupt(self.now())
                    await self.store.activate_labels(settings.profiles, self.now())
                    failures = 0
                    async with RadarClient(settings.radar, self.now) as radar:
                        await self._run_generation(radar)
            except StoreUnavailable as error:
                failures += 1
                log.error("generation_failed", extra={"reason": str(error)})  # noqa: TRY400 - no traceback
                await first_of(self._stop, seconds=backoff(failures))

    async def _placed(self, settings: Settings) -> Settings:
        """Put the profiles on the known grids and due moments, with the known names in place of each star."""
        return replace(settings, profiles=tuple(await self.store.placed(settings.profiles)))

    async def _follow_grids(self, batch_runner: BatchRunner) -> None:
        """End the generation when another grid, due moment, or name for a star, becomes known; the next one uses it."""
        while not self._stop.is_set():
            await first_of(self._stop, batch_runner.grids.moved, seconds=_LOOK_FOR_GRIDS)
            batch_runner.grids.moved.clear()
            await batch_runner.wait_for_foreground()
            try:
                changed = await self._placed(self._settings) != self._settings
            except StoreUnavailable:
                continue
            if changed and not self._stop.is_set():
                reason = "buckets start or are published at another time, or more names are known"
                log.info("reload", extra={"outcome": "ok", "reason": reason})
                self._stop.set()

    async def _run_generation(self, radar: RadarClient) -> None:
        settings = self._settings
        limit = settings.radar.requests_per_5min
        names, known = [profile.name for profile in settings.active], self._collected_since
        self._collected_since = {name: known.get(name, self.now()) for name in names}
        fetcher = Fetcher(radar, self.store, limit=limit, stop=self._stop, clock=self.now, observer=self._heartbeat)
        batch_runner, self._fetcher = BatchRunner(fetcher, settings.radar.concurrency, waits=True), fetcher
        with Schedule() as schedule:
            self._workers = []
            for (_, delay), profiles in groups(settings.active).items():
                worker = ProfileWorker(profiles, self.store, batch_runner)
                schedule.add(profiles[0].grid, delay + host_jitter(), worker.notice)
                self._workers.append(worker)
            work = [worker.run() for worker in self._workers]
            work.append(keep_history(settings, batch_runner))
            work.append(do_backfills(settings, batch_runner, self._submitted))
            work.append(regroup_coverage(batch_runner))
            work.append(build_days(batch_runner))
            work.append(self._warn_of_spelling())
            work.append(self._follow_grids(batch_runner))
            work += [keep_catalogue(batch_runner)] if settings.catalogue.enabled else []
            async with Fallback(self.store, batch_runner, settings) as self._fallback:
                await self._run_tasks(work)
            self._fallback = None

    async def _run_tasks(self, work: list[Coroutine[None, None, None]]) -> None:
        """Run *work* until the service is stopped, then wait up to six seconds. A failed task stops the service."""
        tasks = [asyncio.create_task(part) for part in work]
        stop = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
            if stop in done:
                await asyncio.wait(tasks, timeout=_DRAIN)
        finally:
            for task in [stop, *tasks]:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The profiles that are configured."""
        return self._settings.profiles

    @property
    def requests_per_5min(self) -> int:
        """The request budget."""
        return self._settings.radar.requests_per_5min

    @property
    def simulator(self) -> str | None:
        """The address of the simulator that stands in for Radar, None if Radar is asked."""
        return self._settings.radar.simulator

    async def submit(self, requested: BackfillRequest) -> BackfillJob:
        """Record a backfill job and start it when its turn comes."""
        job = await self.store.create_backfill(requested, self.now())
        self._submitted.set()
        return job

    async def estimate(self, requested: BackfillRequest) -> dict[str, Any]:
        """Return what a backfill would cost: windows, requests, points, minutes. Nothing is requested."""
        settings, now = self._settings, self.now()
        limit = settings.radar.requests_per_5min
        fetcher = Fetcher(RadarClient(settings.radar), self.store, limit=limit, stop=asyncio.Event(), clock=self.now)
        batch_runner = BatchRunner(fetcher, settings.radar.concurrency)
        profiles = [profile for profile in self.profiles if profile.name in requested.profiles]
        slices = await unanswered(profiles, requested, now, batch_runner, now)
        return (await estimate(slices, batch_runner, limit)).document()

    async def cancel(self, backfill_id: int) -> BackfillJob:
        """Cancel a job that has not ended; its requests in flight end within seconds."""
        return await self.store.cancel_backfill(backfill_id, self.now())

    async def prune(self) -> Pruned:
        """Delete what is older than [retention] keeps. The deletion continues if the caller is cancelled."""
        if self._pruning is None or self._pruning.done():
            work = self.store.prune(self._settings.retention, self.now())
            self._pruning = asyncio.create_task(work)
            self._pruning.add_done_callback(_log_prune_failure)
        return await asyncio.shield(self._pruning)

    async def compact(self) -> Compacted:
        """Give the room of deleted rows back. The work continues if the caller is cancelled."""
        if self._compacting is None or self._compacting.done():
            self._compacting = asyncio.create_task(self.store.compact())
            self._compacting.add_done_callback(_log_compaction)
        return await asyncio.shield(self._compacting)

    async def forget(self, series_id: int, *, dry_run: bool) -> SeriesDeletion:
        """Delete a series that no profile wants, with its history."""
        return await self.store.delete_series(series_id, self.profiles, dry_run=dry_run)

    async def replay(self, fetch_id: int) -> dict[str, Any] | None:
        """Parse the kept body of a fetch again. Returns None if no body of this fetch waits for a replay."""
        waiting = {body.fetch_id: body for body in await self.store.bodies(waiting=True)}
        if fetch_id not in waiting:
            return None
        return asdict(await replay(self.store, waiting[fetch_id], self.now()))

    async def refresh_catalogue(self, list_name: str, slug: str | None) -> dict[str, Any]:
        """Read a list of authorities or logs now, or the details of one entry. Raises RadarError if it fails."""
        if self._fetcher is None or self._stop.is_set():
            raise Unavailable("the service is starting or stopping")
        try:
            return asdict(await refresh_now(self._fetcher, list_name, slug))
        except ShuttingDown:
            raise Unavailable("the service is stopping") from None

    async def fill(self, wanted: Sequence[Slice]) -> None:
        """Request the missing buckets of *wanted* from Radar. Raises RadarError if it fails."""
        if self._fallback is None or self._stop.is_set():
            raise Unavailable("the service is starting or stopping")
        await self._fallback.fill(wanted)

    async def _warn_of_spelling(self) -> None:
        """Log once a day each series whose filters match nothing."""
        spelling = SpellingCheck()
        logged_at: dict[str, datetime] = {}
        while not self._stop.is_set():
            now = self.now()
            find = partial(spelling.warnings, profiles=self._settings.active, now=now)
            try:
                warnings = await self.store.with_read_view(find)
            except StoreUnavailable as error:
                log.error("warnings", extra={"outcome": "failed", "reason": str(error)})  # noqa: TRY400 - no traceback
                warnings = {}
            for label, sentence in warnings.items():
                if label not in logged_at or now - logged_at[label] >= _WARN_AGAIN:
                    log.warning("spelling", extra={"series": label, "reason": sentence})
                    logged_at[label] = now
            await first_of(self._stop, seconds=_LOOK_FOR_WARNINGS)

    async def unready(self) -> list[str]:
        """Return why the service is not ready, one sentence each: late or stale profiles, credentials, the store."""
        now = self.now()
        reasons = []
        try:
            unasked = await self._waiting_profiles(now)
            reasons += [f"{name}: {reason}" for name, reason in self._late_profiles(now).items() if name not in unasked]
            reasons += await self._stale_profiles(now)
            refused = await self.store.rejection_reason(self._fetcher.radar.fingerprint) if self._fetcher else None
            if refused:  # this is known at once, even if nothing is due for a week
                reasons.append(f"credentials: {refused}")
            await self.store.check_writable()
        except StoreUnavailable as error:
            # the log only, because the error names the file and /readyz needs no token
            log.warning("not_ready", extra={"reason": str(error)})
            reasons = reasons or [f"{name}: {reason}" for name, reason in self._late_profiles(now).items()]
            reasons.append("store: it cannot be written; the log says why")
        return reasons

    def _late_profiles(self, now: datetime) -> dict[str, str]:
        """Return why profiles are late, by name. A new profile is not late during its first interval."""
        reasons: dict[str, str] = {}
        health = {name: known for worker in self._workers for name, known in worker.health.items()}
        for profile in self._settings.active:
            # without the jitter, because a retry may come before it has passed
            due = due_past_grace(profile.due(now), profile.agg_interval.step, now - host_jitter())
            known, since = health.get(profile.name), self._collected_since.get(profile.name, self._started)
            is_new = known and not known.success and not known.failures and now - since < profile.agg_interval.step
            reason = (
                "not attended"
                if known is None
                else None
                if is_new
                else late_reason(known, due, since, now, profile.counts_from(due))
            )
            reasons |= {profile.name: reason} if reason else {}
        return reasons

    async def _waiting_profiles(self, now: datetime) -> set[str]:
        """Return the profiles that have waited less than 15 minutes until requests may be sent."""
        wait = await self.store.with_read_view(lambda view: current_wait(view, self.requests_per_5min, now))
        if wait is None or wait.reason == "credentials":  # because only an operator can change them
            return set()
        health = {name: known for worker in self._workers for name, known in worker.health.items()}
        waiting = set()
        for profile in self._settings.active:
            known, attended = health.get(profile.name), self._collected_since.get(profile.name, self._started)
            owes = profile.next_due(known.success) if known and known.success else attended
            if known and now - max(owes, attended) < PATIENCE:
                waiting.add(profile.name)
        return waiting

    async def _stale_profiles(self, now: datetime) -> list[str]:
        """Return a sentence for each profile for which Radar has no new data."""
        profiles = self._settings.active

        def work(view: ReadView) -> dict[str, Stall]:
            return find_stalls(view, profiles, view.status_rows(profiles), now)

        return [f"{name}: stale: {stall}" for name, stall in (await self.store.with_read_view(work)).items()]


class Signals(Protocol):
    """The signals that arrived before the event loop handled them."""

    def stop_requested(self) -> bool:
        """Return whether SIGTERM or SIGINT has arrived."""

    def take_reload_request(self) -> bool:
        """Return whether SIGHUP has arrived since the last call."""


class Starting:
    """Handles signals from its creation until the service does. *before* has those that arrived earlier."""

    def __init__(self, before: Signals | None) -> None:
        self._before = before
        self._hung_up = False
        loop, this = asyncio.get_running_loop(), asyncio.current_task()
        assert this is not None
        self._task = this
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        if before and before.stop_requested():
            self._end()

    def _end(self) -> None:
        """Cancel the start at its next await. A running transaction ends first, so no migration is left incomplete."""
        if not self._task.cancelling():
            self._task.cancel()

    def _hang_up(self) -> None:
        self._hung_up = True

    @property
    def reload_requested(self) -> bool:
        """Whether SIGHUP has arrived."""
        return self._hung_up or bool(self._before and self._before.take_reload_request())

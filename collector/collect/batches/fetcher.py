"""Sends one batch until it is saved or a retry is pointless, and records the outcome.

Each request is on record before it is sent, because the record is the ledger of the request budget.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from collector.circuit_breaker import BREAKER_THRESHOLD, REJECTION_PAUSE, Wait
from collector.collect.batches.group_learner import GroupLearner
from collector.collect.kept_bodies import keep_example, keep_refused
from collector.errors import CollectorError
from collector.model import PathRequest, is_absolute, is_known, spelling_free
from collector.radar.errors import (
    Forbidden,
    Misdirected,
    RadarError,
    RateLimited,
    Refused,
    RelativeValues,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from collector.radar.request import path_of_batch
from collector.retry import MAX_ATTEMPTS, MAX_WAIT, backoff, budget_jitter
from collector.rules.clock_difference import NAMED_FROM, ClockDifference, sentence
from collector.store import StoreError
from collector.timestamps import rfc3339, utc_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from datetime import datetime

    from collector.model import Answer, Batch, Slice
    from collector.radar.client import RadarClient, TrustedAnswer
    from collector.rules.clock_difference import ClockSample
    from collector.store import FetchError, Fire, SaveResult, Store

    OnAnswer = Callable[[int, Batch, Answer], None]

_T = TypeVar("_T")
log = logging.getLogger(__name__)

_PATH_PARTS = 4
"""Of a path such as `/radar/ct/logs/…`."""
_LAST_ANSWER_SECONDS = 4.0
"""How long a request in flight may take to end during a shutdown."""


@dataclass(frozen=True, slots=True)
class Handling:
    """How answers are handled: *keep* is called with each; see `Store.save` for *force*, *history* and *job_id*.

    No more requests are sent once *cancelled* is set, as during a shutdown.
    """

    keep: OnAnswer | None = None
    force: bool = False
    history: bool = True
    job_id: int | None = None
    cancelled: asyncio.Event | None = None


_USUAL = Handling()


class SavedAnswer(NamedTuple):
    """The answer to a request, and what it changed in the store. *batch* is the answered part of the request."""

    fetch_id: int
    batch: Batch
    answer: Answer
    saved: SaveResult

    @property
    def timestamps(self) -> dict[Slice, Sequence[int]]:
        """The timestamps by slice, in epoch seconds."""
        return dict(zip(self.batch.slices, (points.timestamps for points in self.answer.series), strict=True))


class ShuttingDown(Exception):
    """The service is stopping, so that no more requests are sent."""

    outcome = "interrupted"
    status = None
    code = None

    def __str__(self) -> str:
        return "the process was told to stop before the answer came"


class SaveFailed(CollectorError):
    """The answer arrived, but the store could not save it."""

    outcome = "unsaved"
    status = None
    code = None


class Fetcher:
    """Fetches batches into the store, inside the request budget, until *stop* is set.

    *limit* is the maximum of requests in any 300 seconds. *clock* returns the present as an aware datetime. *observer*
    receives the events for metrics.
    """

    def __init__(  # noqa: PLR0913 - all but two are keywords
        self,
        radar: RadarClient,
        store: Store,
        *,
        limit: int,
        stop: asyncio.Event,
        clock: Callable[[], datetime] = utc_now,
        observer: Observer | None = None,
    ) -> None:
        self.store = store
        self.observer = observer or NullObserver()
        self.clock = clock
        self.stop = stop
        self.radar = radar
        self.clock_watch = ClockWatch(store, clock)
        self.judged_words: set[str] = set()
        self.groups = GroupLearner(store, clock)
        self._limit = limit
        self._credentials_accepted = False
        self._accepted_at: dict[str, datetime] = {}
        self._unanswered_in_a_row = 0
        self._deviations: set[str] = set()
        self._unit_names: dict[str, tuple[str, ...]] = {}
        self._unrecorded: dict[int, FetchError] = {}
        self._probe_lock = asyncio.Lock()

    async def fetch(
        self,
        batch: Batch,
        profiles: Sequence[str],
        on_send: Callable[[], None] = lambda: None,
        handling: Handling = _USUAL,
        tries: int = MAX_ATTEMPTS,
    ) -> SavedAnswer:
        """Send *batch* and save the answer in one transaction. *on_send* is called for every request.

        Raises a RadarError if nothing was stored; the attempts are on record. Unavailable is raised after *tries*,
        after four if no connection was established, and after one if the circuit is open. RateLimited is raised if the
        wait is too long. Other errors are raised at once. Raises ShuttingDown between two requests.
        """
        while True:
            sized = await self.groups.sized(batch)
            try:
                return await self._fetch(sized, profiles, on_send, handling, tries)
            except Refused as error:
                if not self.groups.lowered(sized, error):
                    raise

    async def _fetch(
        self, batch: Batch, profiles: Sequence[str], on_send: Callable[[], None], handling: Handling, tries: int
    ) -> SavedAnswer:
        requested_at = self.clock()
        for failures in range(1, MAX_ATTEMPTS + 1):
            try:
                async with self.alone_if_probe():
                    return await self._request(batch, profiles, on_send, handling, requested_at)
            except Unavailable as error:
                most = MAX_ATTEMPTS if isinstance(error, Unreachable) else tries
                if failures >= most or self.circuit_is_open:
                    raise
                await self.pause(backoff(failures), handling.cancelled)
            except RateLimited:
                if failures == MAX_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def alone_if_probe(self) -> AsyncIterator[None]:
        """Let one request at a time find out whether the credentials are accepted, or whether Radar is back."""
        is_probe = not self._credentials_accepted or self.circuit_is_open
        async with self._probe_lock if is_probe else contextlib.nullcontext():
            yield

    @property
    def circuit_is_open(self) -> bool:
        """Whether the circuit breaker is open, as far as this process knows."""
        return self._unanswered_in_a_row >= BREAKER_THRESHOLD

    async def pause(self, seconds: float, cancelled: asyncio.Event | None = None) -> None:
        """Wait for *seconds*. Raises ShuttingDown if the service stops or *cancelled* is set."""
        if await self._wait_for_stop(cancelled, max(seconds, 0)):
            raise ShuttingDown

    async def _wait_for_stop(self, cancelled: asyncio.Event | None, seconds: float | None = None) -> bool:
        """Wait until the service stops or *cancelled* is set. Returns False if neither happens within *seconds*."""
        events = [self.stop] if cancelled is None else [self.stop, cancelled]
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return any(event.is_set() for event in events)

    async def raise_if_throttled(self) -> None:
        """Raises the last failure if the circuit is open or Radar rejects the credentials."""
        now = self.clock()
        for throttle in await self.store.throttles(self.radar.fingerprint, now):
            if not throttle.allowed and throttle.wait.cause:
                raise _last_failure(throttle.wait)

    async def _request(
        self,
        batch: Batch,
        profiles: Sequence[str],
        on_send: Callable[[], None],
        handling: Handling,
        requested_at: datetime,
    ) -> SavedAnswer:
        # wait for a slot before the request is on record, because a waiting request must not be sent after a rejection
        async with self.radar.slots:
            fetch_id = await self.reserve(batch, profiles, requested_at, handling.cancelled)
            on_send()
            started = time.perf_counter()
            reply = await self._send(fetch_id, batch, profiles, started, handling.cancelled)
        saved = await self._save(fetch_id, reply, handling)
        await self.accept_credentials(batch)
        _log(logging.INFO, fetch_id, batch, profiles, started, outcome="ok", **saved.counts)
        await self.record_deviations(fetch_id, reply)
        await self.groups.accepted(batch)
        meta = reply.answer.meta
        names = meta.unit_names or ("*",)
        if meta.unit and self._unit_names.get(meta.unit) != names:
            await self.store.set_unit_names(meta.unit, names)
            self._unit_names[meta.unit] = names
        return SavedAnswer(fetch_id, reply.batch, reply.answer, replace(saved, missing=reply.missing))

    async def accept_credentials(self, batch: Batch) -> None:
        """Record once that Radar accepts the credentials on the path of *batch*."""
        path = _path_of(batch)
        if not self._credentials_accepted or path not in self._accepted_at:
            await self.store.accept_credentials(self.radar.fingerprint, path)
            self._credentials_accepted = True
        self._accepted_at[path] = self.clock()

    async def judged(self, error: RadarError, batch: Batch) -> RadarError:
        """Return a 403 as Forbidden if it concerns the path of *batch* alone; every other error as it is.

        It does if another path was accepted shortly before, or on record after an earlier 403 on this path.
        """
        if not isinstance(error, Unauthorized) or error.status != HTTPStatus.FORBIDDEN:
            return error
        error.path = path = _path_of(batch)
        recent = self.clock() - REJECTION_PAUSE
        elsewhere = any(at > recent for other, at in self._accepted_at.items() if other != path)
        if not await self.store.refuses_path(self.radar.fingerprint, path, accepted_elsewhere=elsewhere):
            return error
        if path in self._accepted_at:
            self._accepted_at.clear()  # because the next 403 on another path may show that all are refused
        return Forbidden(error, path)

    async def _save(self, fetch_id: int, reply: TrustedAnswer, handling: Handling) -> SaveResult:
        try:
            await self.clock_watch.note(reply.clock_sample)
            return await self.store.save(
                fetch_id,
                reply.batch,
                reply.answer,
                self.clock(),
                reply.size,
                force=handling.force,
                ahead=await self.clock_watch.ahead(),
                history=handling.history,
                job_id=handling.job_id,
            )
        except StoreError as error:
            self._unrecorded[fetch_id] = SaveFailed(str(error))
            raise

    async def record_deviations(self, fetch_id: int, reply: TrustedAnswer) -> None:
        """Record and log each kind of deviation the first time, and keep the body as an example."""
        unknown = [kind for kind in reply.answer.deviations if kind not in self._deviations]
        if not unknown:
            return
        for kind in await self.store.record_deviations(unknown, fetch_id, self.clock()):
            log.warning("reader", extra={"fetch": fetch_id, "deviation": kind})
        if reply.body:
            await keep_example(self.store, fetch_id, reply.batch, unknown, reply.body)
        self._deviations.update(unknown)

    async def _send(
        self, fetch_id: int, batch: Batch, profiles: Sequence[str], started: float, cancelled: asyncio.Event | None
    ) -> TrustedAnswer:
        """Send the request. On failure, update the in-memory state first, then record the outcome."""
        try:
            reply = await self.unless_stopped(self.radar.request(batch), cancelled)
            word = reply.answer.meta.normalization
            if word and not is_known(word) and spelling_free(word) not in self.judged_words:
                # its meaning decides how values are stored
                raise RelativeValues(f"the normalization {word!r} is yet to be judged", unknown_word=word)
        except ShuttingDown as error:
            await self.record_failure(fetch_id, error)
            raise
        except RadarError as error:
            judged = await self.judged(error, batch)
            body = judged.take_body()
            await self.note_failure(fetch_id, judged, started)
            if body:
                await keep_refused(self.store, fetch_id, batch, judged.kind, body)
            _log(log_level(judged), fetch_id, batch, profiles, started, outcome=judged.outcome, reason=str(judged))
            raise judged from None
        self.note_answer(started)
        return reply

    def note_answer(self, started: float) -> None:
        """Note an answer to a request that was sent at *started*, for the circuit breaker and the metrics."""
        self._unanswered_in_a_row = 0
        self.observer.asked("ok", time.perf_counter() - started)

    async def note_failure(self, fetch_id: int, error: RadarError, started: float) -> None:
        """Note a failure likewise, and record it."""
        self._count_failure(error)
        await self.record_failure(fetch_id, error)
        await self.clock_watch.note(error.clock_sample)
        self.observer.asked(error.outcome, time.perf_counter() - started)

    def is_relative(self, normalization: str) -> bool:
        """Return whether values under *normalization* are relative to one answer, as far as is known."""
        if not normalization or is_absolute(normalization):
            return False
        return spelling_free(normalization) not in self.radar.absolute_words

    async def record_failure(self, fetch_id: int, error: FetchError) -> None:
        """Record how a request failed. If the store fails now, it is recorded before the next request."""
        self._unrecorded[fetch_id] = error
        await self.store.fail(fetch_id, error, self.clock(), self.radar.fingerprint)
        self._unrecorded.pop(fetch_id, None)  # because another request may have recorded it meanwhile

    async def unless_stopped(self, request: Coroutine[Any, Any, _T], cancelled: asyncio.Event | None = None) -> _T:
        """Await *request*. Raises ShuttingDown if it has not ended a few seconds after the service began to stop."""
        sending = asyncio.create_task(request)
        stop = asyncio.create_task(self._wait_for_stop(cancelled))
        try:
            await asyncio.wait((sending, stop), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and not (await asyncio.wait((sending,), timeout=_LAST_ANSWER_SECONDS))[0]:
                raise ShuttingDown
            return sending.result()
        finally:
            sending.cancel()
            stop.cancel()

    async def reserve(
        self,
        batch: Batch,
        profiles: Sequence[str],
        requested_at: datetime | None = None,
        cancelled: asyncio.Event | None = None,
    ) -> int:
        """Wait for a free request in the budget, and for the end of throttles. Returns the id of the recorded fetch.

        Raises Unavailable if a request sent after *requested_at* failed, Unauthorized if Radar rejects the credentials.
        """
        requested_at = requested_at or self.clock()
        while True:
            if self.stop.is_set() or (cancelled and cancelled.is_set()):
                raise ShuttingDown
            for fetch_id, error in [*self._unrecorded.items()]:
                await self.record_failure(fetch_id, error)
            now = self.clock()
            begun = await self.store.start_fetch(
                batch, profiles, now, self._limit, self.radar.fingerprint, path=_path_of(batch)
            )
            if not isinstance(begun, Wait):
                return begun.fetch_id
            self._raise_if_pointless(begun, now, requested_at)
            await self._wait(begun, now, cancelled)

    def _raise_if_pointless(self, wait: Wait, now: datetime, requested_at: datetime) -> None:
        """Raises the reason if waiting is pointless."""
        if wait.reason == "silent":
            self._unanswered_in_a_row = BREAKER_THRESHOLD
        if wait.cause and wait.reason == "credentials":
            self._accepted_at.clear()
        if wait.cause and (wait.reason == "credentials" or wait.cause.sent_at > requested_at):
            raise _last_failure(wait)
        if wait.until - now > MAX_WAIT:
            raise RateLimited(f"Radar answers again at {rfc3339(wait.until)}", not_before=wait.until)

    async def _wait(self, wait: Wait, now: datetime, cancelled: asyncio.Event | None) -> None:
        """Wait. If only one request is sent then (open circuit, credentials on probation), wait without jitter."""
        log.info("fetch_waiting", extra={"reason": wait.reason, "until": rfc3339(wait.until)})
        jitter = budget_jitter() if wait.reason in ("budget", "blocked") else 0
        await self.pause((wait.until - now).total_seconds() + jitter, cancelled)

    def _count_failure(self, error: RadarError) -> None:
        self._unanswered_in_a_row = self._unanswered_in_a_row + 1 if isinstance(error, Unavailable) else 0
        if isinstance(error, Unauthorized):
            self._credentials_accepted = False
            self._accepted_at.clear()


def _path_of(batch: Batch) -> str:
    """Return the path of a request, without the name of a single object."""
    if isinstance(batch, PathRequest):
        return "/".join(batch.path.split("/")[:_PATH_PARTS])
    return path_of_batch(batch)


def _last_failure(wait: Wait) -> RadarError:
    """Return the last failure as an error that says when the next request is sent."""
    assert wait.cause is not None, "no request has failed"
    cause, moment = wait.cause, rfc3339(wait.until.replace(microsecond=0))
    if wait.reason == "credentials":
        message = f"{cause.message}; the same credentials are tried again at {moment}"
        return Unauthorized(message, status=cause.status, code=cause.code)
    message = (
        f"{cause.message}; nor had {BREAKER_THRESHOLD} requests before an answer, so Radar is asked again at {moment}"
    )
    return Unavailable(message, status=cause.status, code=cause.code)


def log_level(error: RadarError) -> int:
    """Return INFO if the error teaches a limit, ERROR if an operator must act, WARNING if a retry may succeed."""
    if isinstance(error, Unauthorized | Misdirected | Forbidden):
        return logging.ERROR
    return logging.INFO if isinstance(error, Refused) else logging.WARNING


def _log(level: int, fetch_id: int, batch: Batch, profiles: Sequence[str], started: float, **fields: object) -> None:
    milliseconds = round((time.perf_counter() - started) * 1000)
    fields = {"fetch": fetch_id, "profiles": ",".join(profiles), "request": str(batch), "ms": milliseconds, **fields}
    log.log(level, "fetch", extra=fields)


class Observer(Protocol):
    """Receives events for metrics: each request, the points it brought, and each fire."""

    def asked(self, outcome: str, seconds: float) -> None:
        """A request has ended; *outcome* as on record."""

    def saved(self, profile: str, saved: SaveResult) -> None:
        """An answer was saved; *saved* counts the points of *profile*."""

    def fired(self, fires: Sequence[Fire]) -> None:
        """Fires were recorded."""


class NullObserver:
    """Ignores all events, for commands."""

    def asked(self, outcome: str, seconds: float) -> None:
        """Ignore the event."""

    def saved(self, profile: str, saved: SaveResult) -> None:
        """Ignore the event."""

    def fired(self, fires: Sequence[Fire]) -> None:
        """Ignore the event."""


class ClockWatch:
    """How far our clock is ahead of Radar's: read from *store* first, then corrected by replies and recorded."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._difference: ClockDifference | None = None
        self._recorded = ClockDifference()
        self._logged: timedelta | None = None
        self._lock = asyncio.Lock()

    async def present(self) -> datetime:
        """Return the present by Radar's clock. No bucket that ends later is requested."""
        return self._clock() - await self.ahead()

    async def ahead(self) -> timedelta:
        """Return how far our clock is ahead of Radar's; zero if it is not, or by less than a minute.

        Drop what replies have shown after the present, because a clock that was set back would block all requests.
        """
        self._difference = difference = (await self._read()).at(self._clock())
        return difference.ahead

    async def note(self, sample: ClockSample | None) -> None:
        """Learn from the clock *sample* of a reply. Record a change; log one of more than a minute."""
        if sample is None:
            return
        self._difference = difference = (await self._read()).after(sample)
        if not difference.is_news(self._recorded):
            return
        self._recorded = difference
        await self._store.set_clock_difference(difference)
        if abs((difference.named or timedelta(0)) - (self._logged or timedelta(0))) > NAMED_FROM:
            self._logged = difference.named
            _log_clock(difference.named)

    async def _read(self) -> ClockDifference:
        """Return the current difference; read it from the store the first time."""
        async with self._lock:
            if self._difference is None:
                self._difference = self._recorded = await self._store.clock_difference()
                self._logged = self._difference.named
            return self._difference


def _log_clock(difference: timedelta | None) -> None:
    if difference is None:
        log.info("clock", extra={"outcome": "ok", "difference_seconds": 0})
    else:
        seconds = round(difference.total_seconds())
        fields = {"outcome": "differs", "difference_seconds": seconds, "reason": sentence(difference)}
        log.warning("clock", extra=fields)

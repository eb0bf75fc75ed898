"""Sends one batch until it is saved or a retry is pointless, and records the outcome.

Each request is on record before it is sent, because the record is the ledger of the request budget.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from collector.circuit_breaker import BREAKER_THRESHOLD, Wait
from collector.clock_difference import NAMED_FROM, ClockDifference, sentence
from collector.collect.kept_bodies import keep_example, keep_refused
from collector.errors import CollectorError
from collector.model import is_absolute, is_known, rfc3339, spelling_free, utc_now
from collector.radar.errors import (
    Misdirected,
    RadarError,
    RateLimited,
    Refused,
    RelativeValues,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from collector.retry import MAX_ATTEMPTS, MAX_WAIT, backoff, budget_jitter
from collector.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime

    from collector.clock_difference import ClockSample
    from collector.model import Answer, Batch, Meta
    from collector.radar.client import RadarClient, TrustedAnswer
    from collector.store import FetchError, Fire, SaveResult, Store

    Keep = Callable[[int, Batch, Answer], None]

_T = TypeVar("_T")


def keep_nothing(_fetch_id: int, _batch: Batch, _answer: Answer) -> None:
    """Leave the answer to the store."""


@dataclass(frozen=True, slots=True)
class Handling:
    """What becomes of an answer: *keep* gets it; see `Store.save` for *force*, *history* and *job_id*.

    Once *cancelled* is set nothing more is asked, as when the process is told to stop.
    """

    keep: Keep = keep_nothing
    force: bool = False
    history: bool = True
    job_id: int | None = None
    cancelled: asyncio.Event | None = None


_USUAL = Handling()
log = logging.getLogger(__name__)

_LAST_ANSWER = 4.0
"""Seconds that a request under way is given to end when the process is told to stop."""


class ShuttingDown(Exception):
    """The process was told to stop; what is not asked yet is not asked any more."""

    outcome = "interrupted"
    status = None
    code = None

    def __str__(self) -> str:
        return "the process was told to stop before the answer came"


class SaveFailed(CollectorError):
    """The answer came, and the store could not take it."""

    outcome = "unsaved"
    status = None
    code = None


class Fetcher:
    """Fetches batches into the store, inside the request budget, and stops asking when *stop* is set.

    *limit* is the most requests in any 300 seconds; *clock* gives the present as an aware moment; *observer* is told.
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
        self._limit = limit
        self._trusted = False
        self._silent = 0
        self._deviations: set[str] = set()
        self._unit_names: dict[str, tuple[str, ...]] = {}
        self._unended: dict[int, FetchError] = {}
        self._one_by_one = asyncio.Lock()
        self._clock_watch = ClockWatch(store)
        self.judged: set[str] = set()

    async def fetch(
        self,
        batch: Batch,
        profiles: Sequence[str],
        sending: Callable[[], None] = lambda: None,
        handling: Handling = _USUAL,
        tries: int = MAX_ATTEMPTS,
    ) -> SaveResult:
        """Ask *batch* and save the answer in one transaction; *sending* hears of every request.

        A RadarError means that nothing was stored and what was tried is on record: Unavailable after so many *tries*,
        four where no connection comes about, one where Radar is down; RateLimited where the wait is too long, every
        other one at once. ShuttingDown ends it between two requests.
        """
        came = self.clock()
        for failures in range(1, MAX_ATTEMPTS + 1):
            try:
                return await self._attempt(batch, profiles, sending, handling, came)
            except Unavailable as error:
                most = MAX_ATTEMPTS if isinstance(error, Unreachable) else tries
                if failures >= most or self.is_silent:
                    raise
                await self.pause(backoff(failures), handling.cancelled)
            except RateLimited:
                if failures == MAX_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    @property
    def is_silent(self) -> bool:
        """Tell whether Radar counts as down, as far as this process knows."""
        return self._silent >= BREAKER_THRESHOLD

    async def present(self) -> datetime:
        """Tell the present, but not what is Radar's future: no bucket that ends after it is asked for."""
        return self.clock() - await self.ahead()

    async def ahead(self) -> timedelta:
        """Tell how far the clock is ahead of Radar's, as far as replies, also those of earlier runs, have shown it."""
        return await self._clock_watch.ahead(self.clock())

    async def note_clock(self, sample: ClockSample | None) -> None:
        """Learn from what a reply shows of the clock."""
        await self._clock_watch.note(sample)

    async def pause(self, seconds: float, cancelled: asyncio.Event | None = None) -> None:
        """Wait for *seconds*. Raise ShuttingDown when the process is told to stop or *cancelled* is set."""
        if await self._told_to_stop(cancelled, max(seconds, 0)):
            raise ShuttingDown

    async def _told_to_stop(self, cancelled: asyncio.Event | None, seconds: float | None = None) -> bool:
        """Wait until the process is told to stop or *cancelled* is set; False if neither happens in *seconds*."""
        events = [self.stop] if cancelled is None else [self.stop, cancelled]
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return any(event.is_set() for event in events)

    async def _attempt(
        self, batch: Batch, profiles: Sequence[str], sending: Callable[[], None], handling: Handling, came: datetime
    ) -> SaveResult:
        """One request at a time is enough to learn that the credentials are right, or that Radar is back."""
        if self._trusted and not self.is_silent:
            return await self._request(batch, profiles, sending, handling, came)
        async with self._one_by_one:
            return await self._request(batch, profiles, sending, handling, came)

    async def check_answers(self) -> None:
        """Raise why Radar is not to be asked just now: it is down, or refuses the credentials."""
        now = self.clock()
        for throttle in await self.store.throttles(self.radar.fingerprint, now):
            if not throttle.allowed and throttle.wait.cause:
                raise _last_failure(throttle.wait)

    async def _request(
        self, batch: Batch, profiles: Sequence[str], sending: Callable[[], None], handling: Handling, came: datetime
    ) -> SaveResult:
        async with self.radar.slots:  # before it is on record: what waits must not be sent once others were refused
            fetch_id = await self.turn(batch, profiles, came, handling.cancelled)
            sending()
            started = time.perf_counter()
            reply = await self._reply(fetch_id, batch, profiles, started, handling.cancelled)
        try:
            await self.note_clock(reply.clock_sample)
            saved = await self.store.save(
                fetch_id,
                reply.batch,
                reply.answer,
                self.clock(),
                reply.size,
                force=handling.force,
                ahead=await self.ahead(),
                history=handling.history,
                job_id=handling.job_id,
            )
        except StoreError as error:
            self._unended[fetch_id] = SaveFailed(str(error))
            raise
        handling.keep(fetch_id, reply.batch, reply.answer)
        if not self._trusted:
            await self.store.accept_credentials(self.radar.fingerprint)
            self._trusted = True
        _log(logging.INFO, fetch_id, batch, profiles, started, outcome="ok", **saved.counts)
        await self.record_deviations(fetch_id, reply)
        await self._note_unit_names(reply.answer.meta)
        return replace(saved, missing=reply.missing)

    async def record_deviations(self, fetch_id: int, reply: TrustedAnswer) -> None:
        """Put on record, and log, each kind of deviation that was not met before, and keep an example of it."""
        unknown = [kind for kind in reply.answer.deviations if kind not in self._deviations]
        if not unknown:
            return
        for kind in await self.store.record_deviations(unknown, fetch_id, self.clock()):
            log.warning("reader", extra={"fetch": fetch_id, "deviation": kind})
        if reply.body:
            await keep_example(self.store, fetch_id, reply.batch, unknown, reply.body)
        self._deviations.update(unknown)

    async def _note_unit_names(self, meta: Meta) -> None:
        """Put the names of the unit on record when they are others than the last answer's."""
        names = meta.unit_names or ("*",)
        if meta.unit and self._unit_names.get(meta.unit) != names:
            await self.store.set_unit_names(meta.unit, names)
            self._unit_names[meta.unit] = names

    async def _reply(
        self, fetch_id: int, batch: Batch, profiles: Sequence[str], started: float, cancelled: asyncio.Event | None
    ) -> TrustedAnswer:
        """Ask; why there is no answer is heeded at once, then put on record."""
        try:
            reply = await self.unless_stopped(self.radar.request(batch), cancelled)
            self._check_normalization(reply.answer.meta)
        except ShuttingDown as error:
            await self.end(fetch_id, error)
            raise
        except RadarError as error:
            self._note(error)
            body = error.take_body()
            await self.end(fetch_id, error)
            await self.note_clock(error.clock_sample)
            if body:
                await keep_refused(self.store, fetch_id, batch, error.kind, body)
            self.observer.asked(error.outcome, time.perf_counter() - started)
            _log(_level(error), fetch_id, batch, profiles, started, outcome=error.outcome, reason=str(error))
            raise
        self._silent = 0
        self.observer.asked("ok", time.perf_counter() - started)
        return reply

    def is_relative(self, normalization: str) -> bool:
        """Tell whether values under *normalization* are relative to one answer, as far as is known."""
        if not normalization or is_absolute(normalization):
            return False
        return spelling_free(normalization) not in self.radar.absolute_words

    def _check_normalization(self, meta: Meta) -> None:
        """Raise Relative for an unknown word that is yet to be judged: what it means decides how values are stored."""
        word = meta.normalization
        if word and not is_known(word) and spelling_free(word) not in self.judged:
            raise RelativeValues(f"the normalization {word!r} is yet to be judged", unknown_word=word)

    async def end(self, fetch_id: int, error: FetchError) -> None:
        """Record how a request failed; what the store cannot take now, it gets before the next request."""
        self._unended[fetch_id] = error
        await self.store.fail(fetch_id, error, self.clock(), self.radar.fingerprint)
        self._unended.pop(fetch_id, None)  # another request may have ended it meanwhile

    async def unless_stopped(self, request: Coroutine[Any, Any, _T], cancelled: asyncio.Event | None = None) -> _T:
        """Await *request*; once told to stop, wait a few seconds more for it, then hang up: ShuttingDown."""
        asking = asyncio.create_task(request)
        stop = asyncio.create_task(self._told_to_stop(cancelled))
        try:
            await asyncio.wait((asking, stop), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done() and not (await asyncio.wait((asking,), timeout=_LAST_ANSWER))[0]:
                raise ShuttingDown
            return asking.result()
        finally:
            asking.cancel()
            stop.cancel()

    async def turn(
        self,
        batch: Batch,
        profiles: Sequence[str],
        came: datetime | None = None,
        cancelled: asyncio.Event | None = None,
    ) -> int:
        """Wait for a place in the budget, or until Radar may be asked again; then put the request on record.

        What was asked in vain after *came* is not asked again: Unavailable. So is nothing with credentials that Radar
        refuses: Unauthorized.
        """
        came = came or self.clock()
        while True:
            if self.stop.is_set() or (cancelled and cancelled.is_set()):
                raise ShuttingDown
            for fetch_id, error in [*self._unended.items()]:
                await self.end(fetch_id, error)
            now = self.clock()
            begun = await self.store.begin(batch, profiles, now, self._limit, self.radar.fingerprint)
            if not isinstance(begun, Wait):
                return begun.fetch_id
            self._heed(begun, now, came)
            await self._wait(begun, now, cancelled)

    def _heed(self, wait: Wait, now: datetime, came: datetime) -> None:
        """Raise why there is no use in waiting, if that is so."""
        if wait.reason == "silent":
            self._silent = BREAKER_THRESHOLD
        if wait.cause and (wait.reason == "credentials" or wait.cause.sent_at > came):
            raise _last_failure(wait)
        if wait.until - now > MAX_WAIT:
            raise RateLimited(f"Radar answers again at {rfc3339(wait.until)}", not_before=wait.until)

    async def _wait(self, wait: Wait, now: datetime, cancelled: asyncio.Event | None) -> None:
        """Wait; what Radar's silence or refusal is about ends for one alone, so nobody need come later than others."""
        log.info("fetch_waiting", extra={"reason": wait.reason, "until": rfc3339(wait.until)})
        jitter = budget_jitter() if wait.reason in ("budget", "blocked") else 0
        await self.pause((wait.until - now).total_seconds() + jitter, cancelled)

    def _note(self, error: RadarError) -> None:
        self._silent = self._silent + 1 if isinstance(error, Unavailable) else 0
        if isinstance(error, Unauthorized):
            self._trusted = False


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


def _level(error: RadarError) -> int:
    """A refusal teaches the limits, a wrong address or token takes a person, anything else is tried again."""
    if isinstance(error, Unauthorized | Misdirected):
        return logging.ERROR
    return logging.INFO if isinstance(error, Refused) else logging.WARNING


def _log(level: int, fetch_id: int, batch: Batch, profiles: Sequence[str], started: float, **fields: object) -> None:
    milliseconds = round((time.perf_counter() - started) * 1000)
    fields = {"fetch": fetch_id, "profiles": ",".join(profiles), "request": str(batch), "ms": milliseconds, **fields}
    log.log(level, "fetch", extra=fields)


class Observer(Protocol):
    """Is told of every request, of the points it brought, and of every fire."""

    def asked(self, outcome: str, seconds: float) -> None:
        """A request has ended; *outcome* as on record."""

    def saved(self, profile: str, saved: SaveResult) -> None:
        """An answer was saved; *saved* counts the points of *profile*."""

    def fired(self, fires: Sequence[Fire]) -> None:
        """Due moments have their outcome."""


class NullObserver:
    """Does not listen."""

    def asked(self, outcome: str, seconds: float) -> None:
        """Ignore it."""

    def saved(self, profile: str, saved: SaveResult) -> None:
        """Ignore it."""

    def fired(self, fires: Sequence[Fire]) -> None:
        """Ignore it."""


class ClockWatch:
    """What replies have shown of the difference, and what *store* has on record of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: ClockDifference | None = None
        self._recorded = ClockDifference()
        self._told: timedelta | None = None
        self._lock = asyncio.Lock()

    async def ahead(self, now: datetime) -> timedelta:
        """Return how far our clock is ahead of Radar's at *now*; zero if it is not, or by less than a minute.

        What replies have shown from after *now* on is forgotten: without it nothing would be asked, and corrected.
        """
        self._found = found = (await self._recall()).at(now)
        return found.ahead

    async def note(self, sample: ClockSample | None) -> None:
        """Take in what a reply shows, put on record what that changes, and log a change of more than a minute."""
        if sample is None:
            return
        self._found = found = (await self._recall()).after(sample)
        if not found.is_news(self._recorded):
            return
        self._recorded = found
        await self._store.set_clock_difference(found)
        if abs((found.named or timedelta(0)) - (self._told or timedelta(0))) > NAMED_FROM:
            self._told = found.named
            _log_clock(found.named)

    async def _recall(self) -> ClockDifference:
        """Begin with what is on record."""
        async with self._lock:
            if self._found is None:
                self._found = self._recorded = await self._store.clock_difference()
                self._told = self._found.named
            return self._found


def _log_clock(named: timedelta | None) -> None:
    if named is None:
        log.info("clock", extra={"outcome": "ok", "difference_seconds": 0})
    else:
        seconds = round(named.total_seconds())
        log.warning("clock", extra={"outcome": "differs", "difference_seconds": seconds, "reason": sentence(named)})

"""What Cloudflare does not publish, asked of the API itself: units, delays, and how large a request may be.

At most twenty requests, each on record like any other. The limits are remembered; no point and no series is stored,
because no profile asked for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from collector.collect import plan
from collector.collect.limits import first_guess, spans_of
from collector.collect.plan import Shape
from collector.model import AggInterval, Batch, SeriesQuery, Slice, Window, from_epoch, is_absolute, rfc3339
from collector.radar.errors import RadarError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.collect.gather import Gatherer
    from collector.radar.client import Reply

MOST_REQUESTS = 20
_POSITIONS = (1, 2, 5, 10, 20, 50, 100)
_QUARTER = AggInterval.FIFTEEN_MINUTES
_NAME = "(probe)"
_Step = TypeVar("_Step", int, timedelta)


@dataclass(frozen=True, slots=True)
class Finding:
    """One open question and what the API answered."""

    question: str
    answer: str


class Prober:
    """Asks the questions; a RadarError other than Refused ends it, for then nothing can be learnt today."""

    def __init__(self, gatherer: Gatherer) -> None:
        self.requests = 0
        self._gatherer = gatherer
        self._fetcher = gatherer.fetcher

    async def probe(self) -> list[Finding]:
        """Ask everything, remember the limits, and tell what was found."""
        findings = await self._first_answer()
        positions = await self._largest(_POSITIONS, partial(self._batch, _QUARTER, timedelta(days=1)))
        gaps = await self._accepts(self._mixed())
        findings.append(Finding("series per request", _at_least(positions, _POSITIONS[-1])))
        findings.append(Finding("empty filter positions", "accepted" if gaps else "refused"))
        for interval in AggInterval:
            steps = sorted(spans_of(interval))
            span = await self._largest(steps, partial(self._batch, interval))
            findings.append(Finding(f"longest span at {interval}", _days(span, steps[-1])))
            await self._remember(interval, span or steps[0], positions or 1, gaps=gaps)
        return [*findings, Finding("requests used", str(self.requests))]

    async def _first_answer(self) -> list[Finding]:
        reply = await self._ask(self._batch(_QUARTER, timedelta(days=1), 1))
        meta, points = reply.answer.meta, reply.answer.series[0]
        lag = self._fetcher.clock() - meta.last_updated
        newest = from_epoch(points.timestamps[-1]) if points.timestamps else None
        behind = (
            "no bucket at all"
            if newest is None
            else f"{_minutes(meta.last_updated - newest - _QUARTER.step)} before lastUpdated"
        )
        rates = ", ".join(f"{name}: {value}" for name, value in reply.rate_headers.items())
        compares = "compares across requests" if is_absolute(meta.normalization) else "holds within one answer only"
        return [
            Finding("unit", meta.unit),
            Finding("normalization", f"{meta.normalization} ({compares})"),
            Finding("lastUpdated", f"{rfc3339(meta.last_updated)}, {_minutes(lag)} behind"),
            Finding("end of the newest bucket", behind),
            Finding("confidence level", str(meta.confidence_level)),
            Finding("rate-limit headers", rates or "none"),
        ]

    async def _largest(self, steps: Sequence[_Step], batch: Callable[[_Step], Batch]) -> _Step | None:
        """Find the largest of ascending *steps* that is accepted, by halving; None where none is."""
        low, high = -1, len(steps) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if await self._accepts(batch(steps[middle])):
                low = middle
            else:
                high = middle - 1
        return steps[low] if low >= 0 else None

    async def _accepts(self, batch: Batch) -> bool:
        try:
            await self._ask(batch)
        except Refused:
            return False
        return True

    async def _ask(self, batch: Batch) -> Reply:
        """Send one request, recorded and paced like any other."""
        if self.requests >= MOST_REQUESTS:
            raise AssertionError("the probe asks more than it promises")
        fetch_id = await self._fetcher.turn(batch, [_NAME])
        self.requests += 1
        try:
            reply = await self._fetcher.radar.ask(batch)
        except RadarError as error:
            await self._fetcher.end(fetch_id, error)
            raise
        await self._fetcher.store.save(fetch_id, batch, reply.answer, self._fetcher.clock(), reply.size, history=False)
        return reply

    def _batch(self, interval: AggInterval, span: timedelta, count: int = 1) -> Batch:
        """*count* slices without a filter, one window behind the other."""
        end = plan.closed_until(interval, self._fetcher.clock())
        windows = (Window(end - span * (back + 1), end - span * back) for back in range(count))
        return Batch(tuple(Slice(SeriesQuery(interval, {}), window) for window in windows))

    def _mixed(self) -> Batch:
        """Ask for a filtered series behind an unfiltered one, whose position stays empty."""
        plain = self._batch(_QUARTER, timedelta(days=1), 1).slices[0]
        return Batch((plain, replace(plain, series=SeriesQuery(_QUARTER, {"publicKeyAlgorithm": ("RSA",)}))))

    async def _remember(self, interval: AggInterval, span: timedelta, positions: int, *, gaps: bool) -> None:
        known = first_guess(interval)
        refused = (span, positions) < (known.shape.span, known.shape.positions)
        learned = replace(
            known,
            shape=Shape(span, positions, gaps=gaps),
            proven_span=span,
            capped=positions < _POSITIONS[-1],
            refused_at=self._fetcher.clock() if refused else None,
        )
        await self._gatherer.learn(learned)


def _at_least(found: int | None, most: int) -> str:
    return "none" if found is None else f"{found}{' or more' if found == most else ''}"


def _minutes(span: timedelta) -> str:
    return f"{round(span / timedelta(minutes=1))} minutes"


def _days(found: timedelta | None, most: timedelta) -> str:
    return (
        "none"
        if found is None
        else f"{found.days} day{'' if found.days == 1 else 's'}{' or more' if found == most else ''}"
    )

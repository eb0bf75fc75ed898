"""How far a job has come: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as RichProgress

    from collector.store import Budget, Progress, Standing

log = logging.getLogger(__name__)

_EVERY = 60.0


class Watching(Protocol):
    """Is told how a job and the request budget stand."""

    def stands(self, standing: Standing, ahead: int | None = None) -> None:
        """The job has come so far; if it is queued, job *ahead* is done first."""

    def spent(self, budget: Budget) -> None:
        """So much of the budget is used, by whomever."""


@contextmanager
def showing() -> Iterator[Watching]:
    """Show what is told."""
    with _bar() if sys.stderr is not None and sys.stderr.isatty() else _lines() as shown:
        yield shown


@contextmanager
def _bar() -> Iterator[Watching]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = ("{task.percentage:>3.0f}%", BarColumn(), TextColumn("{task.fields[text]}"))
    logging.getLogger("collector").setLevel(logging.WARNING)  # the bar says it
    progress = Progress(*columns, console=Console(stderr=True))
    try:
        yield _Bar(progress)
    finally:
        above = sys.stderr
        progress.stop()
        _move_log(above, sys.stderr)


def _move_log(before: TextIO, after: TextIO) -> None:
    """Let the log lines that went to *before* go to *after*: while there is a bar, they stand above it."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(after)


class _Bar:
    """The bar: how far, requests, points, points a second, what is left of the budget, and for how long still.

    It begins with the first news, so that what is said before does not run into it.
    """

    def __init__(self, shown: RichProgress) -> None:
        self._shown = shown
        self._task = shown.add_task("", total=None, text="planning")
        self._began = time.monotonic()
        self._first: Progress | None = None
        self._known: Progress | None = None
        self._budget: Budget | None = None

    def stands(self, standing: Standing, ahead: int | None = None) -> None:
        if not self._shown.live.is_started:
            before = sys.stderr
            self._shown.start()  # which puts a stream of its own in the place of stderr
            _move_log(before, sys.stderr)
        self._known = standing.progress
        self._first = self._first or self._known
        if not self._known.buckets:
            self._shown.update(self._task, text="planning" if ahead is None else f"queued behind backfill {ahead}")
        self._show()

    def spent(self, budget: Budget) -> None:
        self._budget = budget
        self._show()

    def _show(self) -> None:
        first, known, budget = self._first, self._known, self._budget
        if first is None or known is None or not known.buckets:
            return
        seconds, points = max(time.monotonic() - self._began, 0.001), _points(known)
        rate = (points - _points(first)) / seconds
        parts = [f"{known.requests:,} requests", f"{points:,} points", f"{rate:,.0f}/s"]
        if budget:
            parts += [_left(budget), remaining(first, known, budget, seconds)]
        text = "  ".join(part for part in parts if part)
        self._shown.update(self._task, total=known.buckets, completed=known.buckets_done, text=text)


def _points(known: Progress) -> int:
    return known.points_inserted + known.points_revised + known.points_unchanged


def _free(budget: Budget) -> int:
    return max(budget.limit - budget.used, 0)


def _left(budget: Budget) -> str:
    if budget.blocked_until:
        return f"Radar blocks until {budget.blocked_until:%H:%M:%S} UTC"
    return f"budget {_free(budget):,}" if _free(budget) else "budget used up, waiting"


def remaining(first: Progress, known: Progress, budget: Budget, seconds: float) -> str:
    """Say how long the rest of a job takes that came from *first* in so many *seconds*, as `1:02:03`; empty: unknown.

    As long as what was done, bucket for bucket, or as the budget lets its requests through, whichever is longer.
    """
    done = known.buckets_done - first.buckets_done
    if not done:
        return ""
    rest = max(known.buckets - known.buckets_done, 0)
    beyond = max(known.requests / known.buckets_done * rest - _free(budget), 0)
    left = max(seconds / done * rest, beyond / budget.limit * budget.window_seconds)
    return str(timedelta(seconds=round(left)))


@contextmanager
def _lines() -> Iterator[Watching]:
    """Write a line a minute, also while nothing happens: a wait for the budget must not look like a stall."""
    lines, ended = _Lines(), threading.Event()

    def write() -> None:
        while not ended.wait(_EVERY):
            lines.write()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        ended.set()
        thread.join()


class _Lines:
    def __init__(self) -> None:
        self._ahead: int | None = None
        self._known: Progress | None = None
        self._budget: Budget | None = None

    def stands(self, standing: Standing, ahead: int | None = None) -> None:
        self._known = standing.progress
        if ahead != self._ahead:
            self._ahead = ahead
            log.info("backfill", extra={"state": standing.state, "queued_behind": ahead})

    def spent(self, budget: Budget) -> None:
        self._budget = budget

    def write(self) -> None:
        known = self._known
        if known:
            done = f"{known.buckets_done}/{known.buckets}"
            counts = {"buckets": done, "requests": known.requests, "inserted": known.points_inserted}
            log.info("backfill", extra=counts | {"budget": _free(self._budget) if self._budget else None})

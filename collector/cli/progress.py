"""How far a job has come: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as RichProgress

    from collector.store import Budget, Progress, Standing

log = logging.getLogger(__name__)

_EVERY = 60.0


class Watching(Protocol):
    """Is told how a job and the request budget stand."""

    def stands(self, standing: Standing) -> None:
        """The job has come so far."""

    def spent(self, budget: Budget) -> None:
        """So much of the budget is used, by whomever."""


@contextmanager
def showing() -> Iterator[Watching]:
    """Show what is told."""
    with _bar() if sys.stderr.isatty() else _lines() as shown:
        yield shown


@contextmanager
def _bar() -> Iterator[Watching]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = ("{task.percentage:>3.0f}%", BarColumn(), TextColumn("{task.fields[text]}"))
    logging.getLogger("collector").setLevel(logging.WARNING)  # the bar says it
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Bar(progress)


class _Bar:
    """The bar: how far, requests, points, points a second, what is left of the budget, and for how long still."""

    def __init__(self, shown: RichProgress) -> None:
        self._shown = shown
        self._task = shown.add_task("", total=None, text="planning")
        self._began = time.monotonic()
        self._known: Progress | None = None
        self._budget: Budget | None = None

    def stands(self, standing: Standing) -> None:
        self._known = standing.progress
        self._show()

    def spent(self, budget: Budget) -> None:
        self._budget = budget
        self._show()

    def _show(self) -> None:
        known, budget, seconds = self._known, self._budget, max(time.monotonic() - self._began, 0.001)
        if known is None:
            return
        points = known.points_inserted + known.points_revised + known.points_unchanged
        parts = [f"{known.requests:,} requests", f"{points:,} points", f"{points / seconds:,.0f}/s"]
        if budget:
            parts += [_left(budget), remaining(known, budget, seconds)]
        text = "  ".join(part for part in parts if part)
        self._shown.update(self._task, total=known.buckets or None, completed=known.buckets_done, text=text)


def _left(budget: Budget) -> str:
    if budget.blocked_until:
        return f"Radar blocks until {budget.blocked_until:%H:%M:%S} UTC"
    left = max(budget.limit - budget.used, 0)
    return f"budget {left:,}" if left else "budget used up, waiting"


def remaining(known: Progress, budget: Budget, seconds: float) -> str:
    """Say how long the rest of a job takes that has run so many *seconds*: as `1:02:03`; empty while nobody can tell.

    As long as what was done, bucket for bucket, or as the budget lets its requests through, whichever is longer.
    """
    if not known.buckets_done or not known.buckets:
        return ""
    rest = max(known.buckets - known.buckets_done, 0) / known.buckets_done
    beyond = max(known.requests * rest - max(budget.limit - budget.used, 0), 0)
    left = max(seconds * rest, beyond / budget.limit * budget.window_seconds)
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
        self._known: Progress | None = None

    def stands(self, standing: Standing) -> None:
        self._known = standing.progress

    def spent(self, budget: Budget) -> None:
        """The log has a line of its own for every wait."""

    def write(self) -> None:
        known = self._known
        if known:
            done = f"{known.buckets_done}/{known.buckets}"
            log.info("backfill", extra={"buckets": done, "requests": known.requests, "inserted": known.points_inserted})

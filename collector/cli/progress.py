"""Progress of a backfill or a copy: bars on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as RichProgress

    from collector.store import Budget, JobProgress, JobStatus

    OnRows = Callable[[str, int, int], None]


log = logging.getLogger(__name__)

_LOG_INTERVAL_SECONDS = 60.0


class ProgressView(Protocol):
    """Shows the progress of a job and the state of the request budget."""

    def show_job(self, status: JobStatus, ahead: int | None = None) -> None:
        """Show the status of the job; if it is queued, *ahead* is the job that runs before it."""

    def show_budget(self, budget: Budget) -> None:
        """Show how much of the budget is used, by all processes together."""


@contextmanager
def progress_view() -> Iterator[ProgressView]:
    """Open a bar if stderr is a terminal, else write a log line every minute."""
    with _progress_bar() if sys.stderr is not None and sys.stderr.isatty() else _progress_log() as shown:
        yield shown


@contextmanager
def _progress_bar() -> Iterator[ProgressView]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = ("{task.percentage:>3.0f}%", BarColumn(), TextColumn("{task.fields[text]}"))
    logging.getLogger("collector").setLevel(logging.WARNING)  # the bar shows the same
    progress = Progress(*columns, console=Console(stderr=True))
    try:
        yield ProgressBar(progress)
    finally:
        above = sys.stderr
        progress.stop()
        _move_log(above, sys.stderr)


def _move_log(before: TextIO, after: TextIO) -> None:
    """Send the log lines of *before* to *after*: while a bar is shown, rich prints them above the bar."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(after)


class ProgressBar:
    """A bar with the percentage, requests, points, points per second, the rest of the budget and the time left.

    The bar starts with the first `show_job`, so that earlier messages are not mixed with it.
    """

    def __init__(self, shown: RichProgress) -> None:
        self._shown = shown
        self._task = shown.add_task("", total=None, text="planning")
        self._began = time.monotonic()
        self._first: JobProgress | None = None
        self._known: JobProgress | None = None
        self._budget: Budget | None = None

    def show_job(self, status: JobStatus, ahead: int | None = None) -> None:
        """Show the status of the job."""
        if not self._shown.live.is_started:
            before = sys.stderr
            self._shown.start()  # this replaces sys.stderr
            _move_log(before, sys.stderr)
        self._known = status.progress
        self._first = self._first or self._known
        if not self._known.buckets:
            self._shown.update(self._task, text="planning" if ahead is None else f"queued behind backfill {ahead}")
        self._show()

    def show_budget(self, budget: Budget) -> None:
        """Show the rest of the budget."""
        self._budget = budget
        self._show()

    def _show(self) -> None:
        first, progress, budget = self._first, self._known, self._budget
        if first is None or progress is None or not progress.buckets:
            return
        seconds, points = max(time.monotonic() - self._began, 0.001), _points(progress)
        rate = (points - _points(first)) / seconds
        parts = [f"{progress.requests:,} requests", f"{points:,} points", f"{rate:,.0f}/s"]
        if budget:
            parts += [_left(budget), remaining(first, progress, budget, seconds)]
        text = "  ".join(part for part in parts if part)
        self._shown.update(self._task, total=progress.buckets, completed=progress.buckets_done, text=text)


def _points(progress: JobProgress) -> int:
    return progress.points_inserted + progress.points_revised + progress.points_unchanged


def _free(budget: Budget) -> int:
    return max(budget.limit - budget.used, 0)


def _left(budget: Budget) -> str:
    if budget.blocked_until:
        return f"Radar blocks until {budget.blocked_until:%H:%M:%S} UTC"
    return f"budget {_free(budget):,}" if _free(budget) else "budget used up, waiting"


def remaining(first: JobProgress, progress: JobProgress, budget: Budget, seconds: float) -> str:
    """Return the estimated time left as `1:02:03`, or an empty text if no bucket is done since *first*.

    *seconds* is the time since *first*. The estimate is the longer of two: at the rate per bucket so far, and at the
    rate that the request budget allows.
    """
    done = progress.buckets_done - first.buckets_done
    if not done:
        return ""
    rest = max(progress.buckets - progress.buckets_done, 0)
    beyond = max(progress.requests / progress.buckets_done * rest - _free(budget), 0)
    left = max(seconds / done * rest, beyond / budget.limit * budget.window_seconds)
    return str(timedelta(seconds=round(left)))


@contextmanager
def _progress_log() -> Iterator[ProgressView]:
    """Write a log line every minute, also while the job waits for the budget, so that it does not look stalled."""
    lines, ended = ProgressLog(), threading.Event()

    def write() -> None:
        while not ended.wait(_LOG_INTERVAL_SECONDS):
            lines.write()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        ended.set()
        thread.join()


class ProgressLog:
    """Log lines with the buckets, requests, points and the rest of the budget."""

    def __init__(self) -> None:
        self._ahead: int | None = None
        self._known: JobProgress | None = None
        self._budget: Budget | None = None

    def show_job(self, status: JobStatus, ahead: int | None = None) -> None:
        """Keep the status for the next line; log at once if the place in the queue has changed."""
        self._known = status.progress
        if ahead != self._ahead:
            self._ahead = ahead
            log.info("backfill", extra={"state": status.state, "queued_behind": ahead})

    def show_budget(self, budget: Budget) -> None:
        """Keep *budget* for the next line."""
        self._budget = budget

    def write(self) -> None:
        """Write one line, if a status is known."""
        progress = self._known
        if progress:
            done = f"{progress.buckets_done}/{progress.buckets}"
            counts = {"buckets": done, "requests": progress.requests, "inserted": progress.points_inserted}
            log.info("backfill", extra=counts | {"budget": _free(self._budget) if self._budget else None})


@contextmanager
def copy_progress() -> Iterator[OnRows]:
    """Return a callback (table, copied rows, all rows) that shows the progress of a copy."""
    if sys.stderr.isatty():
        with _copy_bars() as on_rows:
            yield on_rows
    else:
        yield _copy_log()


@contextmanager
def _copy_bars() -> Iterator[OnRows]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {}

        def on_rows(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(table, total=total)
            progress.update(tasks[table], completed=done)

        yield on_rows


def _copy_log() -> OnRows:
    last = time.monotonic()

    def on_rows(table: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= _LOG_INTERVAL_SECONDS:
            last = time.monotonic()
            log.info("copy_progress", extra={"table": table, "rows": f"{done}/{total}"})

    return on_rows

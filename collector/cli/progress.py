"""How far a job has come: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from collector.store import Standing

log = logging.getLogger(__name__)

_EVERY = 60.0


@contextmanager
def showing(limit: int) -> Iterator[Callable[[Standing], None]]:
    """Show what the given function hears; *limit* is the request budget of five minutes."""
    if sys.stderr.isatty():
        with _bar(limit) as heard:
            yield heard
    else:
        with _lines() as heard:
            yield heard


@contextmanager
def _bar(limit: int) -> Iterator[Callable[[Standing], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.percentage:>3.0f}%", BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn())
    sent: list[tuple[float, int]] = []
    logging.getLogger("collector").setLevel(logging.WARNING)  # the bar says it
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None, text="planning")

        def hear(standing: Standing) -> None:
            known, now = standing.progress, time.monotonic()
            sent.append((now, known.requests))
            while now - sent[0][0] > 300:  # noqa: PLR2004 - the window of the budget
                sent.pop(0)
            used = known.requests - sent[0][1]
            points = known.points_inserted + known.points_revised + known.points_unchanged
            rate = points / max(now - began, 0.001)
            text = f"{known.requests:,} requests  {points:,} points  {rate:,.0f}/s  budget {max(limit - used, 0):,}"
            progress.update(task, total=known.buckets or None, completed=known.buckets_done, text=text)

        began = time.monotonic()
        yield hear


@contextmanager
def _lines() -> Iterator[Callable[[Standing], None]]:
    """Write a line a minute, also while nothing happens: a wait for the budget must not look like a stall."""
    latest: list[Standing] = []
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(_EVERY):
            _write(latest)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield lambda standing: latest.__setitem__(slice(None), [standing])
    finally:
        ended.set()
        thread.join()


def _write(latest: Sequence[Standing]) -> None:
    for standing in latest:
        known = standing.progress
        done = f"{known.buckets_done}/{known.buckets}"
        log.info("backfill", extra={"buckets": done, "requests": known.requests, "inserted": known.points_inserted})

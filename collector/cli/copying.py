"""How far a copy has come: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Heard = Callable[[str, int, int], None]

log = logging.getLogger(__name__)

_EVERY = 60.0


@contextmanager
def showing() -> Iterator[Heard]:
    """Show what the given function hears: a table, how many of its rows are copied, and of how many."""
    if sys.stderr.isatty():
        with _bars() as heard:
            yield heard
    else:
        yield _lines()


@contextmanager
def _bars() -> Iterator[Heard]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {}

        def hear(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(table, total=total)
            progress.update(tasks[table], completed=done)

        yield hear


def _lines() -> Heard:
    last = time.monotonic()

    def hear(table: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            log.info("copy", extra={"table": table, "rows": f"{done}/{total}"})

    return hear

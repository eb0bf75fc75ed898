"""Numbered writes that one process starts and another one may continue: the fork server runs `write_steps:main`.

Its arguments: the store's address, the first step and the one after the last, and a file to wait for, or nothing. Every
step done is a number on stdout.
"""

import asyncio
import sys
import time
from pathlib import Path

from collector.store import Store, StoreError
from tests.harness.factories import HOUR, NOW, batch, hours, query, saved

EVERY, DOMAINS = query(), query(validationLevel="DOMAIN")
_LOOK = 0.002


async def _step(store, number):
    """Save what revises earlier steps, and lacks some of their buckets."""
    asked = batch((EVERY, hours(number, number + 12)), (DOMAINS, hours(number, number + 12)))
    first = [1000 * number + hour for hour in range(12)]
    other = {number + hour: float(hour) for hour in range(12) if hour != number % 5}
    await saved(store, asked, first, other, now=NOW + number * HOUR, updated=NOW + number * HOUR)


async def _work(url, begin, end):
    async with Store.open(url, owner="test") as store:
        for number in range(begin, end):
            try:
                await _step(store, number)
            except StoreError:  # it says so, and the next attempt must find the store as it was
                await _step(store, number)
            print(number, flush=True)  # noqa: T201 - the acknowledgement


def main():
    """Do the steps; an error is said in a line, with exit code 1."""
    url, begin, end, signal_file = sys.argv[1:]
    while signal_file and not Path(signal_file).exists():
        time.sleep(_LOOK)
    try:
        asyncio.run(_work(url, int(begin), int(end)))
    except Exception as error:  # noqa: BLE001 - the test judges it
        print(repr(error), flush=True)  # noqa: T201
        sys.exit(1)

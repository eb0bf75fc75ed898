"""A store worth damaging, and what is said of a damaged one."""

import random
import sqlite3
from contextlib import closing

from collector.errors import CollectorError
from collector.model import Annotation
from collector.store import Fire, Store
from collector.store.admin.commands import dump
from collector.store.admin.verify import verify
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, saved

WEEK = 168


async def fill(url, weeks=3):
    """A history with whole and broken numbers, revisions, a vanished bucket, remarks and fires."""
    queries = [query(), *(query(caOwner=name) for name in "abc")]
    numbers = random.Random(3)
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile(), profile("each", caOwner=("a", "b", "c"))], NOW)
        for week in range(weeks):
            window, now = hours(week * WEEK, (week + 1) * WEEK), NOW + week * HOUR
            asked = batch(*((each, window) for each in queries))
            remark = Annotation(window.start, window.end, "ALL", "EVENT", f"week {week}", "", is_instantaneous=False)
            found = [
                {week * WEEK + hour: numbers.randrange(10**6) + n % 2 * numbers.random() for hour in range(WEEK)}
                for n in range(4)
            ]
            await saved(store, asked, *found, now=now, updated=now, annotations=[remark])
            later = [{hour: value + (hour % 17 == 0) for hour, value in values.items()} for values in found]
            del later[1][week * WEEK + 5]
            await saved(store, asked, *later, now=now + HOUR / 2, updated=now + HOUR / 2)
        await store.finish([Fire("all", DAY + hour * HOUR, "collected", NOW) for hour in range(30)], [])


def whole(path):
    """All of a store in its one file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


async def findings(path):
    """What is found in a file: a list of sentences, or the one that it cannot be read."""
    before = path.read_bytes()
    try:
        found = (verify(f"sqlite:///{path}")).findings
    except CollectorError as error:
        found = [str(error)]
    assert path.read_bytes() == before
    return found


def dumped(path):
    try:
        return "".join(dump(f"sqlite:///{path}"))
    except CollectorError as error:
        return str(error)

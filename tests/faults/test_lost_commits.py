"""The COMMIT's reply lost: the server has done it and the collector does not know. The record decides.

A proxy before a real Postgres passes the COMMIT on, swallows what comes back, and cuts the connection.
"""

import random
from collections import Counter

import pytest

from tests.harness.factories import dump
from tests.harness.postgres_proxy import Proxy
from tests.harness.retrying import collected


class Unreliable(Proxy):
    """Loses the reply of about one commit in six, until it has lost so many."""

    def __init__(self, url, dice):
        super().__init__(url)
        self._dice = dice

    def cuts_now(self):
        return self._dice.random() < 1 / 6 and super().cuts_now()


@pytest.mark.parametrize("cuts", [8, pytest.param(100, marks=pytest.mark.campaign)])
async def test_whatever_reply_is_lost_the_store_ends_as_the_one_on_sqlite(postgres_url, sqlite_url, cuts, seed):
    found = Counter()
    proxy = Unreliable(postgres_url, random.Random(seed))

    def losing(_world):
        proxy.cuts = cuts

    async with proxy.serving() as url:
        outcomes = await collected(url, found, losing)
    unsent = outcomes["started"] + outcomes["interrupted"]
    assert outcomes.total() - unsent == found["requests"], outcomes
    assert unsent <= proxy.cut == cuts, "a request that was begun and not sent is one whose begin was lost"
    await collected(sqlite_url, Counter())
    assert dump(postgres_url) == dump(sqlite_url)
    print(f"{proxy.cut} replies lost: {dict(found)}")  # noqa: T201 - counts for the record

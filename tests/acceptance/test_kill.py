"""Killed without warning, again and again, and continued: the store ends as if nothing had happened."""

import os
import random
import signal
import time

import pytest

from tests.acceptance.world import Collector, midnight, profile, simulating

OWNERS = ", ".join(f'"Owner {number}"' for number in range(10))
PROFILES = profile("many", "15m", None, f"[profiles.each]\nca_owner = [{OWNERS}]")
ORDER = ("backfill", "--start", f"{midnight(90):%Y-%m-%d}", "--end", f"{midnight(1):%Y-%m-%d}")


def collector(folder, url, database):
    folder.mkdir()
    made = Collector(folder, url, database)
    made.configure(PROFILES)
    return made


def kill_at_random_moments(killed, kills, seed):
    """Start the same backfill over and over and kill it; gives how often it died before its end."""
    moments = random.Random(seed)
    died = 0
    for _ in range(kills):
        with killed.running(*ORDER) as running:
            time.sleep(moments.uniform(0.5, 1.6))  # the fault itself: a moment that nobody chose
            died += running.ends(signal.SIGKILL) == -signal.SIGKILL
    return died


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.campaign)])
def test_a_backfill_that_is_killed_and_continued_gives_the_same_dump(database, tmp_path, kills):
    seed = int(os.environ.get("COLLECTOR_TEST_SEED", random.SystemRandom().randrange(10**6)))
    with simulating(series_per_request=2) as (_, url):
        calm = collector(tmp_path / "calm", url, "sqlite:///collector.db")
        calm.run(*ORDER)
        killed = collector(tmp_path / "killed", url, database)
        assert kill_at_random_moments(killed, kills, seed) > 0, f"COLLECTOR_TEST_SEED={seed} repeats this run"
        killed.run(*ORDER)
        digests = [one.run("db", "dump", "--digest").stdout for one in (killed, calm)]
        assert digests[0] == digests[1], f"COLLECTOR_TEST_SEED={seed} repeats this run"
        killed.run("db", "verify")

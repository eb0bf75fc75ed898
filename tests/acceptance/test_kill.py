"""Killed without warning, again and again, and continued: the store ends as if nothing had happened."""

import random
import signal
import time

import pytest

from tests.harness.processes import Collector, midnight, profile_toml, simulating

OWNERS = ", ".join(f'"Owner {number}"' for number in range(10))
PROFILES = profile_toml("many", "15m", None, f"[profiles.each]\nca_owner = [{OWNERS}]")
ORDER = ("backfill", "--start", f"{midnight(90):%Y-%m-%d}", "--end", f"{midnight(1):%Y-%m-%d}")


def collector(folder, url, database):
    folder.mkdir()
    made = Collector(folder, url, database)
    made.configure(PROFILES)
    return made


def kill_at_random_moments(killed, moments, kills):
    """Start the same backfill over and over and kill it, until it comes to its end; gives how often it died."""
    died = 0
    while died < kills:
        with killed.running(*ORDER) as running:
            time.sleep(moments.uniform(0.0, 1.4))  # the fault itself: a moment that nobody chose
            if running.ends(signal.SIGKILL) != -signal.SIGKILL:
                break
            died += 1
    return died


@pytest.mark.parametrize("kills", [1, pytest.param(200, marks=pytest.mark.campaign)])
def test_a_backfill_that_is_killed_and_continued_gives_the_same_dump(fresh_database, tmp_path, kills, seed):
    """Each time it is done another store begins; each must end as the one of SQLite that was left alone."""
    moments, died, stores = random.Random(seed), 0, 0
    with simulating(series_per_request=2, rate_limit=None) as (_, url):
        calm = collector(tmp_path / "calm", url, "sqlite:///collector.db")
        calm.run(*ORDER)
        digest = calm.run("db", "dump", "--digest").stdout
        while died < kills:
            stores += 1
            killed = collector(tmp_path / f"killed-{stores}", url, fresh_database())
            died += kill_at_random_moments(killed, moments, kills - died)
            killed.run(*ORDER)
            assert killed.run("db", "dump", "--digest").stdout == digest
            killed.run("db", "verify")
    print(f"{died} kills, {stores} stores")  # noqa: T201 - counts for the record

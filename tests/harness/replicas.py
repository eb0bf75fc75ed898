"""Real daemons that share one Postgres under one fast clock. Tests start, kill and freeze them."""

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from collector.simulator import Simulator
from tests.harness.fast_daemon import fast_clock
from tests.harness.fork_server import fork_server
from tests.harness.processes import Collector, simulating

LEASE = 2
"""Real seconds."""


class ReplicaPool:
    """Starts and ends replicas."""

    def __init__(self, collector, started, rate):
        self._collector, self._order = collector, [str(collector.config), repr(started), str(rate)]
        self._processes = {}

    @property
    def alive(self):
        """The process ids of the replicas that were not ended, oldest first."""
        return [*self._processes]

    def start(self):
        """Start a replica."""
        made = self._collector
        with made.log.open("ab") as log:
            process = fork_server().fork(
                self._order, made.folder, made.environ, (log, log), "tests.harness.fast_daemon:main"
            )
        self._processes[process.pid] = process

    def end(self, pid, number):
        """Send a signal that ends a replica. Returns its exit code."""
        process = self._processes.pop(pid)
        process.send_signal(number)
        return process.wait(60)

    def restart_ended(self):
        """Restart replicas that exited with 1 because the database was unavailable, as a supervisor would."""
        for pid, process in [*self._processes.items()]:
            if (code := process.poll()) is not None:
                assert code == 1, (code, self._collector.log.read_text()[-2000:])
                del self._processes[pid]
                self.start()

    def close(self):
        """Kill the remaining replicas."""
        for pid in self.alive:
            self.end(pid, signal.SIGKILL)


class SharedCollector(Collector):
    """Configuration, store and log of all replicas."""

    @property
    def log(self):
        return self.folder / "replicas.log"

    def fires(self):
        """(profile, due, outcome) of every fire on record, ascending."""
        return self.rows("SELECT profile, due, outcome FROM fires ORDER BY due, profile")

    def all_fired(self, names, until):
        """Return whether every profile has a fire at *until* or later."""
        found = dict(self.rows("SELECT profile, max(due) FROM fires GROUP BY profile"))
        return {*names} == {*found} and min(found.values()) >= until


@dataclass
class Replicas:
    """Running daemons, their shared configuration and store, their simulator and their *clock*."""

    pool: ReplicaPool
    shared: SharedCollector
    simulator: Simulator
    now: callable

    @property
    def clock(self) -> datetime:
        return self.now()


@contextmanager
def replicas(folder, database, profiles, count, rate=1, *, catalogue=False, **options):  # noqa: PLR0913 - what they share
    """Run *count* replicas with *profiles*, TOML tables, under a clock *rate* times as fast as the real one."""
    started = time.time()
    now = fast_clock(started, rate)
    with simulating(lambda: now().timestamp(), **options) as (simulator, url):
        shared = SharedCollector(
            folder, url, f'{database}"\nlease = "{LEASE}s', server="enabled = false", catalogue=catalogue
        )
        shared.configure(*profiles)
        shared.database = database
        pool = ReplicaPool(shared, started, rate)
        try:
            for _ in range(count):
                pool.start()
            yield Replicas(pool, shared, simulator, now)
        finally:
            pool.close()

"""Real daemons that share one Postgres under a clock of their own, to be started, killed and frozen."""

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from collector.simulator import Simulator
from tests.harness.fast_daemon import fast
from tests.harness.fork_server import nest
from tests.harness.processes import Collector, simulating

LEASE = 2
"""Real seconds."""


class Nursery:
    """Starts replicas, and ends them."""

    def __init__(self, collector, born, rate):
        self._collector, self._order = collector, [str(collector.config), repr(born), str(rate)]
        self._born = {}

    @property
    def alive(self):
        """The process ids of those that were not ended, oldest first."""
        return [*self._born]

    def start(self):
        """Start one more."""
        made = self._collector
        with made.log.open("ab") as log:
            process = nest().bear(self._order, made.folder, made.environ, (log, log), "tests.harness.fast_daemon:main")
        self._born[process.pid] = process

    def end(self, pid, number):
        """Send one its last signal; gives its exit code."""
        process = self._born.pop(pid)
        process.send_signal(number)
        return process.wait(60)

    def replace_the_ended(self):
        """Start anew, as a supervisor does, what could not start while its database was away and ended with 1."""
        for pid, process in [*self._born.items()]:
            if (code := process.poll()) is not None:
                assert code == 1, (code, self._collector.log.read_text()[-2000:])
                del self._born[pid]
                self.start()

    def close(self):
        """Kill the rest."""
        for pid in self.alive:
            self.end(pid, signal.SIGKILL)


class Shared(Collector):
    """What the replicas have in common: configuration, store and log."""

    @property
    def log(self):
        return self.folder / "replicas.log"

    def fires(self):
        """(profile, due, outcome) of every due moment on record, ascending."""
        return self.rows("SELECT profile, due, outcome FROM fires ORDER BY due, profile")

    def seen_to(self, names, until):
        """Tell whether every profile has a fire of *until*, or of later."""
        found = dict(self.rows("SELECT profile, max(due) FROM fires GROUP BY profile"))
        return {*names} == {*found} and min(found.values()) >= until


@dataclass
class Replicas:
    """Daemons at work, what they share, whom they ask, and what their *clock* shows."""

    nursery: Nursery
    shared: Shared
    simulator: Simulator
    now: callable

    @property
    def clock(self) -> datetime:
        return self.now()


@contextmanager
def replicas(folder, database, profiles, count, rate=1, **options):
    """So many replicas that see to *profiles*, TOML tables, under a clock *rate* times as fast as ours."""
    born = time.time()
    now = fast(born, rate)
    with simulating(lambda: now().timestamp(), **options) as (simulator, url):
        shared = Shared(folder, url, f'{database}"\nlease = "{LEASE}s', server="enabled = false")
        shared.configure(*profiles)
        shared.database = database
        nursery = Nursery(shared, born, rate)
        try:
            for _ in range(count):
                nursery.start()
            yield Replicas(nursery, shared, simulator, now)
        finally:
            nursery.close()

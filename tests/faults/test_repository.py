"""Any sequence of saves, failures, lost processes and late answers: both stores hold what the model says, and no more.

The model is a dictionary and three rules: a newer answer replaces, an older one only adds, what vanished is marked.
"""

import asyncio
import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from collector.radar.errors import Untrusted
from collector.store import Fire, Store, ValueRejected
from collector.store.write import save
from tests.harness.factories import DAY, HOUR, NOW, answer, at, batch, dump, hours, profile, query

QUERIES = {"all": query(), "each/a": query(caOwner="a"), "each/b": query(caOwner="b")}
PROFILES = [profile(), profile("each", caOwner=("a", "b"))]
BUCKETS = 8
VALUES = st.lists(st.none() | st.integers(0, 3), min_size=BUCKETS, max_size=BUCKETS)
WINDOWS = st.tuples(st.integers(0, BUCKETS - 1), st.integers(1, BUCKETS))
LABELS = st.lists(st.sampled_from(sorted(QUERIES)), min_size=1, max_size=3, unique=True)
HOURS_AGO = st.integers(0, 4)


@dataclass
class Bucket:
    """What is known of one bucket of one series: its value, when that was last said, and whether it vanished."""

    value: float | None = None
    said: int = -1
    vanished: bool = False
    before: list = field(default_factory=list)

    def hear(self, value, said):
        """Take in what an answer of the hour *said* tells, None for no such bucket."""
        if self.value is None:
            self.value = value
        elif said >= self.said:
            self.vanished = value is None
            if value is not None and value != self.value:
                self.before.append(self.value)
                self.value = value
        self.said = max(self.said, said)


class Repository(RuleBasedStateMachine):
    """Does the same to a SQLite store, a Postgres store and the model."""

    databases = None

    @initialize()
    def begin(self):
        self.runner = asyncio.Runner()
        self.model = {label: [Bucket() for _ in range(BUCKETS)] for label in QUERIES}
        self.fires, self.hour, self.copies = {}, 0, 0
        self.urls = {"sqlite": self.databases.sqlite(), "postgresql": self.databases.postgres()}
        self.opened, self.stores = {}, {}
        for kind in self.urls:
            self._open(kind)
            self._run(self.stores[kind].activate_labels(PROFILES, NOW))

    def _run(self, work):
        return self.runner.run(work)

    def _open(self, kind):
        self.opened[kind] = Store.open(self.urls[kind], owner="test")
        self.stores[kind] = self._run(self.opened[kind].__aenter__())

    @property
    def now(self):
        self.hour += 1
        return NOW + self.hour * HOUR

    def _asked(self, labels, window):
        start, end = window[0], max(window[1], window[0] + 1)
        return batch(*((QUERIES[label], hours(start, end)) for label in labels)), range(start, end)

    def _answer(self, asked, labels, buckets, values, updated):
        """An answer in which each series has the values moved on by one."""
        said = [
            {hour: values[(hour + place) % BUCKETS] for hour in buckets if values[(hour + place) % BUCKETS] is not None}
            for place in range(len(labels))
        ]
        return said, answer(asked, *said, updated=NOW + updated * HOUR)

    @rule(labels=LABELS, window=WINDOWS, values=VALUES, ago=HOURS_AGO, again=st.booleans())
    def save(self, labels, window, values, ago, again):
        """An answer, perhaps older than others, perhaps saved twice because nobody knows whether it was."""
        asked, buckets = self._asked(labels, window)
        now = self.now
        updated = self.hour - ago
        said, found = self._answer(asked, labels, buckets, values, updated)
        saved = []
        for store in self.stores.values():
            fetch_id = self._run(store.start_fetch(asked, ["all"], now, 10**6)).fetch_id
            saved += [self._run(store.save(fetch_id, asked, found, now, 10)) for _ in range(1 + again)]
        assert len({tuple(one.counts.values()) for one in saved}) == 1
        for label, heard in zip(labels, said, strict=True):
            for hour in buckets:
                self.model[label][hour].hear(heard.get(hour), updated)

    @rule(labels=LABELS, window=WINDOWS)
    def fail(self, labels, window):
        asked, _ = self._asked(labels, window)
        now = self.now
        for store in self.stores.values():
            fetch_id = self._run(store.start_fetch(asked, ["all"], now, 10**6)).fetch_id
            self._run(store.fail(fetch_id, Untrusted("nonsense"), now))

    @rule(labels=LABELS, window=WINDOWS, values=VALUES)
    def break_off_while_saving(self, labels, window, values):
        """The transaction fails at its last step: nothing of it is there."""
        asked, buckets = self._asked(labels, window)
        now = self.now
        _, found = self._answer(asked, labels, buckets, values, self.hour)

        def broken(*_arguments, **_options):
            raise ValueRejected("broken off")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(save.fetches, "succeed", broken)
            for store in self.stores.values():
                fetch_id = self._run(store.start_fetch(asked, ["all"], now, 10**6)).fetch_id
                with pytest.raises(ValueRejected, match="broken off"):
                    self._run(store.save(fetch_id, asked, found, now, 10))

    @rule(labels=LABELS, window=WINDOWS)
    def crash(self, labels, window):
        """The process dies with a request under way: SQLite's files are found as they are, Postgres' sessions end."""
        asked, _ = self._asked(labels, window)
        now = self.now
        for store in self.stores.values():
            self._run(store.start_fetch(asked, ["all"], now, 10**6))
        path = Path(self.urls["sqlite"].removeprefix("sqlite:///"))
        self.copies += 1
        copy = path.with_name(f"{self.copies}-{path.name.split('-')[-1]}")
        for suffix in ("", "-wal"):
            if Path(f"{path}{suffix}").exists():
                shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
        self._close()
        self.urls["sqlite"] = f"sqlite:///{copy}"
        self.databases.end_sessions(self.urls["postgresql"])
        for kind in self.urls:
            self._open(kind)
            self._run(self.stores[kind].interrupt(now + timedelta(days=1)))

    @rule(hour=st.integers(0, 5), outcome=st.sampled_from(["collected", "failed", "coalesced"]))
    def fire(self, hour, outcome):
        """The first outcome of a due moment stands."""
        now = self.now
        for store in self.stores.values():
            self._run(store.finish([Fire("all", DAY + hour * HOUR, outcome, now)], []))
        self.fires.setdefault(hour, outcome)

    @invariant()
    def both_hold_what_the_model_says(self):
        if not hasattr(self, "stores"):
            return
        points = {
            (label, at(hour)): float(bucket.value)
            for label, buckets in self.model.items()
            for hour, bucket in enumerate(buckets)
            if bucket.value is not None
        }
        dumps = []
        for kind, store in self.stores.items():
            assert self._run(_points(store)) == points, kind
            dumps.append(dump(self.urls[kind]))
        assert dumps[0] == dumps[1]
        assert _counted(dumps[0]) == (
            sum(len(bucket.before) for buckets in self.model.values() for bucket in buckets),
            sum(bucket.vanished for buckets in self.model.values() for bucket in buckets),
            len(self.fires),
        )

    def _close(self):
        for kind in self.urls:
            self._run(self.opened[kind].__aexit__(None, None, None))

    def teardown(self):
        if hasattr(self, "stores"):
            self._close()
            self.runner.close()
            self.databases.drop(self.urls["postgresql"])


async def _points(store):
    return {(label, when): value async for _, label, when, value in store.export()}


def _counted(text):
    return tuple(text.count(f'["{kind}"') for kind in ("revision", "vanished", "fire"))


class Databases:
    """Fresh stores on both databases."""

    def __init__(self, folder, sqlite_template, server, template):
        self._folder, self._sqlite_template, self._server, self._template = folder, sqlite_template, server, template
        self._made = 0

    def sqlite(self):
        self._made += 1
        (self._folder / str(self._made)).mkdir()
        return f"sqlite:///{shutil.copy(self._sqlite_template, self._folder / str(self._made) / 'collector.db')}"

    def postgres(self):
        return self._server.create(self._template).render_as_string(hide_password=False)

    def end_sessions(self, url):
        name = sa.make_url(url).database
        self._server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    def drop(self, url):
        self._server.drop(sa.make_url(url))


@pytest.fixture
def databases(tmp_path, sqlite_template, postgres_server, postgres_template):
    """Gives fresh stores."""
    return Databases(tmp_path, sqlite_template, postgres_server, postgres_template)


@pytest.mark.parametrize(("examples", "steps"), [(4, 12), pytest.param(300, 40, marks=pytest.mark.campaign)])
def test_both_stores_are_what_the_model_is_whatever_happens(databases, seed, examples, steps):
    machine = hypothesis.seed(seed)(type("Repository", (Repository,), {"databases": databases}))
    options = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=options)

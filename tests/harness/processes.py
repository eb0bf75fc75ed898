"""Real processes: the collector as its users start it, and a simulator on a thread of this process."""

import asyncio
import contextlib
import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from collector.cli.main import command
from collector.interval import AggInterval
from collector.model import Question, Window
from collector.simulator import Simulator, SimulatorOptions, serve
from tests.harness.fork_server import ForkedProcess, fork_server

CANARY = "canary-token-0123456789-abcdefghijklmnopqrst"
COLLECTOR = (sys.executable, "-m", "collector")
WITHOUT_CATALOGUE = {"COLLECTOR_CATALOGUE__ENABLED": "false"}
"""The environment of tests that count requests about series alone."""
CALM = {"token": CANARY, "lag": timedelta(0), "revised_for": timedelta(0), "annotations": ()}
"""Options of a simulator whose values do not depend on when it is asked."""


@contextmanager
def simulating(clock: Callable[[], float] = time.time, **options: Any) -> Iterator[tuple[Simulator, str]]:
    """Serve a simulator on a thread of its own; gives it and its base URL."""
    simulator = Simulator(SimulatorOptions(**{**CALM, **options}), clock)
    loop, stop, urls = asyncio.new_event_loop(), asyncio.Event(), []
    ready = threading.Event()

    async def main() -> None:
        async with serve(simulator) as url:
            urls.append(url)
            ready.set()
            await stop.wait()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(10)
        yield simulator, urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()


def eventually(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until *condition* holds and give what it gave; it has so many seconds for that."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.02)
    return found


def midnight(days_ago: int) -> datetime:
    """The midnight that began so many days ago."""
    return AggInterval.ONE_DAY.floor(datetime.now(UTC)) - timedelta(days=days_ago)


def profile_toml(name: str = "all", agg_interval: str = "1h", days: int | None = 3, more: str = "") -> str:
    """Write a `[[profiles]]` table, its history beginning so many days ago."""
    since = "" if days is None else f"since = {midnight(days):%Y-%m-%d}\n"
    return f'[[profiles]]\nname = "{name}"\nagg_interval = "{agg_interval}"\n{since}{more}\n'


@dataclass
class Collector:
    """A folder with a configuration, and the processes that are started in it; everything they say is kept."""

    folder: Path
    base_url: str
    database: str = "sqlite:///collector.db"
    token: str = CANARY
    server: str = "port = 0"
    catalogue: bool = False
    said: list[str] = field(default_factory=list)

    def configure(self, *profiles: str, radar: str = "") -> None:
        """Write the configuration."""
        self.config.write_text(
            f'[radar]\nbase_url = "{self.base_url}"\n{radar}\n[database]\nurl = "{self.database}"\n'
            f"[server]\n{self.server}\n" + "".join(profiles)
        )

    @property
    def config(self) -> Path:
        """The configuration file, found in the working directory."""
        return self.folder / "config.toml"

    @property
    def environ(self) -> Mapping[str, str]:
        """An environment in which only the token is set, and without the catalogue unless it is wanted."""
        kept = {
            name: v for name, v in os.environ.items() if not name.startswith(("COLLECTOR_", "CLOUDFLARE_", "PYTHON"))
        }
        kept |= {} if self.catalogue else WITHOUT_CATALOGUE
        return kept | {"CLOUDFLARE_API_TOKEN": self.token, "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(
        self, *arguments: str, expect: int | None = 0, seconds: float = 60, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which must come with this exit code."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = fork_server().fork(arguments, self.folder, {**self.environ, **(environ or {})}, (out, err))
            try:
                code = process.wait(seconds)
            finally:
                process.kill()
            said = [file.seek(0) or file.read() for file in (out, err)]
        done = subprocess.CompletedProcess(arguments, code, *said)
        self._heard(done.stdout + done.stderr)
        assert expect is None or code == expect, (code, done.stdout[-500:], done.stderr[-3000:])
        return done

    def call(
        self, *arguments: str, expect: int | None = 0, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that only reads, or only refuses, as `run` does but in this process, which saves a second."""
        with contextlib.chdir(self.folder), pytest.MonkeyPatch.context() as patch:
            for name in {*os.environ} - {*self.environ}:
                patch.delenv(name)
            for name, value in {**self.environ, **(environ or {})}.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(command, arguments, prog_name="collector")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        self._heard(done.stdout + done.stderr)
        assert expect is None or done.exit_code == expect, (done.exit_code, done.stdout[-500:], done.stderr[-3000:])
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    @contextmanager
    def running(
        self, *arguments: str, environ: Mapping[str, str] | None = None, anew: bool = False
    ) -> Iterator["Running"]:
        """Start a command and go on, with a Python started *anew* where that matters; at the end it is killed."""
        name = f"{len(self.said)}-{arguments[0]}.log"
        environ = {**self.environ, **(environ or {})}
        with (self.folder / name).open("wb") as log:
            if anew:
                options = {"cwd": self.folder, "env": environ, "stdout": log, "stderr": log}
                process: ForkedProcess | subprocess.Popen[bytes] = subprocess.Popen([*COLLECTOR, *arguments], **options)
            else:
                process = fork_server().fork(arguments, self.folder, environ, (log, log))
        running = Running(process, self.folder / name)
        try:
            yield running
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            self._heard(running.log)

    def _heard(self, text: str) -> None:
        self.said.append(text)
        assert "Traceback" not in text, text[-3000:]
        assert CANARY not in text, text[-3000:]

    def export(self, *arguments: str) -> str:
        """What `export` writes to stdout."""
        return self.call("export", *arguments).stdout

    def points(self) -> dict[str, dict[int, float]]:
        """What `export` gives, by series label and timestamp; a point that is there twice is an error."""
        found: dict[str, dict[int, float]] = {}
        for row in csv.DictReader(io.StringIO(self.export())):
            stamp = int(datetime.fromisoformat(row["timestamp"]).timestamp())
            series = found.setdefault(row["series"], {})
            assert stamp not in series
            series[stamp] = float(row["value"])
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the store directly; the statement must read the same on both databases."""
        if self.database.startswith("sqlite"):
            with closing(sqlite3.connect(self.folder / self.database.removeprefix("sqlite:///"))) as connection:
                return connection.execute(sql).fetchall()
        with psycopg.connect(self.database) as connection:
            return connection.execute(sql).fetchall()

    def count(self, table: str) -> int:
        """The number of rows in a table."""
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])

    def json(self, *arguments: str) -> Any:
        """What a command gives as JSON."""
        return json.loads(self.call(*arguments, "--format", "json").stdout)

    def assert_no_canary(self) -> None:
        """Look for the token in every file: the store, its log, the lock, what was printed."""
        for path in self.folder.rglob("*"):
            assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


@dataclass
class Running:
    """A process under way, and what it has said so far."""

    process: ForkedProcess | subprocess.Popen[bytes]
    path: Path

    @property
    def log(self) -> str:
        """All output so far."""
        return self.path.read_text(errors="replace")

    def says(self, *texts: str, seconds: float = 60) -> None:
        """Wait until each text was said."""

        def said() -> bool:
            ended, log = self.process.poll(), self.log
            found = all(text in log for text in texts)
            assert found or ended is None, (ended, log[-3000:])
            return found

        eventually(said, seconds)

    def ends(self, number: int | None = signal.SIGTERM, seconds: float = 10) -> int:
        """Send a signal (None: send nothing) and wait for the end, which must come in time; gives the exit code."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    @property
    def url(self) -> str:
        """The address of the HTTP server, once it is in the log."""
        self.says("url=http://")
        return self.log.split("url=")[1].split()[0]


@contextmanager
def beside_a_simulator(folder: Path) -> Iterator[tuple[Simulator, Collector]]:
    """A simulator and a collector beside it, on SQLite; at the end the token is in no file."""
    with simulating() as (simulator, url):
        collector = Collector(folder, url)
        yield simulator, collector
        collector.assert_no_canary()


def truth(simulator: Simulator, query: Question, window: Window, now: float | None = None) -> dict[int, float]:
    """What an honest server would answer."""
    points = simulator.truth(query, window, time.time() if now is None else now)
    return dict(zip(points.timestamps, points.values, strict=True))


def holds_the_truth(
    collector: Collector, simulator: Simulator, queries: Mapping[str, Question], days: int, since: float
) -> bool:
    """Tell whether the store has exactly the server's values, of now or, should an edge have passed, of *since*."""
    found = collector.points()
    for now in (since, time.time()):
        if found == {label: truth(simulator, query, closed(query, days, now), now) for label, query in queries.items()}:
            return True
    return False


def closed(query: Question, days: int, now: float | None = None) -> Window:
    """From the midnight that many days ago to the newest closed bucket."""
    moment = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    return Window(query.agg_interval.floor(midnight(days)), query.agg_interval.floor(moment))

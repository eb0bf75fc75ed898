"""Days in seconds: the simulator and the daemon, real processes, under one clock that runs many times too fast.

libfaketime starts its clock anew at every exec, so one launcher is executed under it and forks the simulator and, for
every phase in which the service runs, the daemon. While the daemon is stopped the launcher's clock goes on.

What to know under this clock: asyncio's waits shrink by the speed; `time.sleep` and waits of threads with a time-out
are relied on nowhere, for not every build of libfaketime shrinks them; a request's time-out passes as fast as all else.
"""

import asyncio
import contextlib
import http.client
import importlib
import importlib.util
import json
import os
import pickle
import re
import select
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[2]
_NAMED = "COLLECTOR_TEST_LIBFAKETIME"
_LONGEST_RUN = 1800
_LOOK = 60.0
_SERVING = re.compile(rb" serving url=http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Clock:
    """A clock that shows *start* when the launcher is executed and runs *speed* times too fast from there."""

    start: datetime
    speed: float


@dataclass(frozen=True)
class Phase:
    """What was done from *begin* until it was told to stop at *end*, in simulated time; the daemon's *exit_code*."""

    verb: Literal["run", "stop"]
    begin: datetime
    end: datetime
    exit_code: int | None


@dataclass(frozen=True)
class Request:
    """One request in the simulator's log."""

    at: float
    status: int
    raw_query: str


@dataclass(frozen=True)
class Report:
    """What happened: the phases, what the simulator was asked, what the daemon said of its readiness, and its log.

    *readiness* holds (epoch seconds, status, body) of every look at `/readyz`, one in every simulated minute or so.
    """

    phases: list[Phase]
    requests: list[Request]
    readiness: list[tuple[float, int, str]]
    log: str


def library() -> Path | None:
    """Find a libfaketime that fakes the clock of this Python; None where there is none."""
    return next(filter(_fakes, _libraries()), None)


def _libraries() -> Iterator[Path]:
    if _NAMED in os.environ:
        yield Path(os.environ[_NAMED])
        return
    package = importlib.util.find_spec("libfaketime")
    if package and package.origin:
        yield Path(package.origin).with_name("vendor") / "libfaketime" / "src" / "libfaketime.so.1"
    yield from Path("/usr/lib").glob("*/faketime/libfaketime.so.1")


def _fakes(path: Path) -> bool:
    year = "import time; print(time.gmtime().tm_year)"
    environ = _environ(path, Clock(datetime(2001, 1, 1, tzinfo=UTC), 1))
    done = subprocess.run([sys.executable, "-c", year], env=environ, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "2001"


def _environ(path: Path, clock: Clock) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COLLECTOR_", "CLOUDFLARE_"))}
    return kept | {
        "COLLECTOR_CATALOGUE__ENABLED": "false",  # because requests are counted
        "LD_PRELOAD": str(path),
        "FAKETIME": f"@{clock.start.astimezone(UTC):%Y-%m-%d %H:%M:%S} x{clock.speed:g}",
        "TZ": "UTC",
        "NO_FAKE_STAT": "1",  # else every compiled module looks out of date
        "CLOUDFLARE_API_TOKEN": "made-up-token-of-the-fast-clock",
    }


def run_fast(
    folder: Path,
    clock: Clock,
    phases: Sequence[tuple[Literal["run", "stop"], timedelta]],
    config: str,
    simulator: Mapping[str, Any] | None = None,
) -> Report:
    """Let the daemon live through *phases* under *clock*; they follow each other from its start, start-up included.

    *config* is the daemon's TOML, in which `{base_url}` stands for the simulator's address; its working directory
    is *folder*. *simulator* holds arguments of SimulatorOptions.
    """
    path = library()
    if path is None:
        raise RuntimeError("no libfaketime works here: install Debian's libfaketime")
    plan = (clock.speed, clock.start, list(phases), config, dict(simulator or {}))
    (folder / "plan.pickle").write_bytes(pickle.dumps(plan))
    _launch(folder, _environ(path, clock))
    requests = [Request(*fields) for fields in json.loads((folder / "requests.json").read_text())]
    seen = [Phase(*fields) for fields in pickle.loads((folder / "phases.pickle").read_bytes())]
    readiness = [tuple(look) for look in json.loads((folder / "readiness.json").read_text())]
    return Report(seen, requests, readiness, (folder / "daemon.log").read_text())


def _launch(folder: Path, environ: dict[str, str]) -> None:
    argv = [sys.executable, "-m", "tests.harness.fake_time", str(folder)]
    said = folder / "launcher.log"  # a pipe would stay open as long as any child lives
    with said.open("wb") as stderr:
        launcher = subprocess.Popen(argv, cwd=ROOT, env=environ, stderr=stderr, start_new_session=True)
    try:
        launcher.wait(_LONGEST_RUN)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launcher.pid, signal.SIGKILL)  # and its children, should it have died before them
        launcher.wait()
        for left in Path("/dev/shm").glob(f"*faketime_*_{launcher.pid}"):
            left.unlink(missing_ok=True)
    if launcher.returncode:
        raise RuntimeError(f"the launcher ended with {launcher.returncode}:\n{said.read_text()}")


# From here on: what runs under the fast clock.


def _main(folder: Path) -> None:
    speed, end, phases, config, options = pickle.loads((folder / "plan.pickle").read_bytes())
    _hurry(speed)
    for module in (
        "collector.cli.commands.service",
        "collector.daemon",
        "collector.simulator",
        "aiohttp.web",
    ):
        importlib.import_module(module)  # once, before forking: an import costs simulated minutes
    told, tell = os.pipe()
    simulator = _fork(lambda: asyncio.run(_simulate(folder, options, tell)))
    os.close(tell)
    base_url = os.read(told, 1000).decode()
    (folder / "config.toml").write_text(config.replace("{base_url}", base_url))
    seen, looks = [], []
    for verb, lasting in phases:
        begin, end = _now(), end + lasting
        daemon = _run_until(end, folder, looks) if verb == "run" else _wait_until(end)
        seen.append((verb, begin, _now(), _stop(daemon) if daemon else None))
    _stop(simulator)
    (folder / "readiness.json").write_text(json.dumps(looks))
    (folder / "phases.pickle").write_bytes(pickle.dumps(seen))


def _hurry(speed: float) -> None:
    """Shrink the waits of every event loop, where this libfaketime does not do so itself."""
    begun = time.monotonic()
    select.epoll().poll(1.0)
    if time.monotonic() - begun < speed / 2:
        return

    class Hurried(selectors.EpollSelector):
        def select(self, timeout: float | None = None) -> list[Any]:
            return super().select(timeout / speed if timeout and timeout > 0 else timeout)

    selectors.DefaultSelector = Hurried


def _now() -> datetime:
    return datetime.now(UTC)


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - a forked child may not return into its parent's stack
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run_until(end: datetime, folder: Path, looks: list[tuple[float, int, str]]) -> int:
    log = folder / "daemon.log"
    before = log.stat().st_size if log.exists() else 0
    daemon = _fork(lambda: _collect(folder))
    _wait_until(end, daemon, lambda: looks.extend(_looked(log, before)))
    return daemon


def _looked(log: Path, before: int) -> list[tuple[float, int, str]]:
    """Ask `/readyz` once, as soon as the log says where it is.

    On a busy machine a simulated time-out of the server's passes before it comes to answer: then nothing was seen.
    """
    found = _SERVING.search(_read(log, before)) if log.exists() else None
    if not found:
        return []
    asking = http.client.HTTPConnection("127.0.0.1", int(found[1]))
    try:
        asking.request("GET", "/readyz")
        answer = asking.getresponse()
        return [(_now().timestamp(), answer.status, answer.read().decode())]
    except (OSError, http.client.HTTPException):
        return []
    finally:
        asking.close()


def _read(log: Path, before: int) -> bytes:
    with log.open("rb") as file:
        file.seek(before)
        return file.read(20_000)


def _collect(folder: Path) -> None:
    """Be `collector run`."""
    with (folder / "daemon.log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(folder)
    sys.argv = ["collector", "--config", "config.toml", "run"]
    importlib.import_module("collector.cli.main").main()


def _wait_until(end: datetime, child: int | None = None, look: Callable[[], object] = lambda: None) -> None:
    """Wait for a moment of the fast clock, looking around; a child that is to run until then may not end before."""
    waits = selectors.DefaultSelector()
    while (left := (end - _now()).total_seconds()) > 0:
        waits.select(min(left, _LOOK))
        look()
        if child and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
    waits.close()


def _stop(child: int) -> int:
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def _simulate(folder: Path, options: Mapping[str, Any], tell: int) -> None:
    """Serve a simulator until SIGTERM, then leave its log behind."""
    from collector.simulator import Simulator, SimulatorOptions, serve

    simulator, stop = Simulator(SimulatorOptions(**options)), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(simulator) as base_url:
        os.write(tell, base_url.encode())
        os.close(tell)
        await stop.wait()
    seen = [(received.at, received.status, received.raw_query) for received in simulator.requests]
    (folder / "requests.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))

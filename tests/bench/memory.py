"""Memory of the service at rest: it has caught up with days of many series, and waits for the next bucket.

The service is a process of its own, on an empty SQLite store, and the server answers every request at once.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.bench.growth import local_server
from tests.bench.growth_store import owner_name
from tests.bench.server import PATH

ROOT = Path(__file__).parents[2]
_CONFIG = """\
[radar]
base_url = "{base_url}"
requests_per_5min = 1200
[database]
url = "sqlite:///{folder}/store.db"
[server]
enabled = true
port = 0
[catalogue]
enabled = false
[log]
format = "json"
[[profiles]]
name = "all"
agg_interval = "15m"
since = {since}
each = {{ ca_owner = {owners} }}
"""
_COLLECTOR = (sys.executable, "-m", "collector")
_DAY = 86_400
_LOOK_SECONDS, _CALM_LOOKS = 0.5, 10
"""At rest: it has caught up, and has used no CPU to speak of for so many looks in a row."""
_CALM_TICKS = 2
_MOST_SECONDS = 300


def measure(series: int, days: int, runs: int) -> list[float]:
    """Return the resident memory at rest of each run, in MiB."""
    with local_server() as base_url:
        return [_run(base_url, series, days) for _ in range(runs)]


def _run(base_url: str, series: int, days: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * _DAY))
        owners = json.dumps([owner_name(number) for number in range(series)])
        (folder / "config.toml").write_text(
            _CONFIG.format(
                base_url=base_url + PATH.removesuffix("/radar/ct/timeseries"),
                folder=folder,
                since=since,
                owners=owners,
            )
        )
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("COLLECTOR_")}
        environ = inherited | {"COLLECTOR_CONFIG": str(folder / "config.toml"), "CLOUDFLARE_API_TOKEN": "t" * 40}
        subprocess.run([*_COLLECTOR, "db", "upgrade"], cwd=ROOT, env=environ, check=True, capture_output=True)
        with _service(folder, environ) as process:
            _wait_for_rest(process.pid, folder / "log")
            return _resident(process.pid)


@contextmanager
def _service(folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*_COLLECTOR, "run"], cwd=ROOT, env=environ, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_for_rest(pid: int, log: Path) -> None:
    """Wait until a whole pass has been collected and the process is calm."""
    deadline, calm, before = time.monotonic() + _MOST_SECONDS, 0, 0
    while calm < _CALM_LOOKS:
        time.sleep(_LOOK_SECONDS)
        if time.monotonic() > deadline:
            raise SystemExit(f"not at rest after {_MOST_SECONDS} s; the log ends with: {log.read_text()[-500:]}")
        ticks = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        is_calm = '"outcome": "collected"' in log.read_text() and ticks - before <= _CALM_TICKS
        calm, before = calm + 1 if is_calm else 0, ticks


def _resident(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def table(mebibytes: list[float]) -> str:
    """Write the median and each run."""
    each = " ".join(f"{run:.1f}" for run in mebibytes)
    return f"{median(mebibytes):.1f} MiB at rest (runs: {each})"

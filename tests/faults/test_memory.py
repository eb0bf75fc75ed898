"""Two hundred profiles in 128 MiB; answers that are bombs are refused in 16 MiB more."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import faults
from tests.harness.processes import CANARY, eventually, profile_toml, simulating

ROOT = Path(__file__).parents[2]
MOST = 128 * 1024
"""KiB that a process may hold at its fullest."""


def _fullest(pid):
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return int(lines["VmHWM"].split()[0])


@pytest.mark.parametrize(
    ("interval", "days", "on"),
    [
        ("1h", 2, "sqlite"),
        pytest.param("1h", 2, "postgresql", marks=pytest.mark.campaign),
        pytest.param("15m", 60, "sqlite", marks=pytest.mark.campaign),
    ],
)
def test_two_hundred_profiles_live_in_128_mebibytes(simulated_collector, request, interval, days, on):
    _, collector = simulated_collector
    if on == "postgresql":
        collector.database = request.getfixturevalue("empty_postgres_url")
    named = [f'[profiles.filters]\nca_owner = ["Owner {number}"]' for number in range(200)]
    collector.configure(*(profile_toml(f"p{number}", interval, days, more) for number, more in enumerate(named)))
    with collector.running("run", anew=True) as daemon:
        daemon.says("collect outcome=collected", seconds=120)
        least = 200 * (days - 1) * (24 if interval == "1h" else 96)
        eventually(lambda: collector.rows("SELECT sum(points) FROM series")[0][0] >= least, 600)
        collector.json("status")
        held = _fullest(daemon.process.pid)
        assert daemon.ends() == 0
    print(f"{held / 1024:.0f} MiB at the fullest")  # noqa: T201 - counts for the record
    assert held <= MOST


BOMBS = {
    "a gigabyte out of a megabyte of gzip": faults.gzip_bomb(),
    "depth 100,000": faults.depth_bomb(),
    "a million points": faults.many(),
    "a hundred thousand keys": faults.edit(
        "keys", lambda document: document.update({f"k{n}": n for n in range(10**5)})
    ),
}
CHILD = """
import asyncio, resource, sys
from datetime import timedelta
from pathlib import Path
from collector.radar.client import RadarClient
from collector.radar.errors import RadarError
from collector.settings import Credentials, RadarSettings, Secret
from tests.harness.collect_core import batch

async def main(url, token):
    settings = RadarSettings(url, 600, 4, timedelta(seconds=60), Credentials(token=Secret(token)))
    async with RadarClient(settings) as client:
        await client.request(batch())
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + 16 * 2**20,) * 2)  # what `ulimit -v` sets
        try:
            await client.request(batch())
        except RadarError as error:
            print(type(error).__name__, error)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_any_kind_is_refused_in_sixteen_mebibytes(name):
    with simulating() as (simulator, url):
        simulator.script(BOMBS[name].after(1))
        command = [sys.executable, "-c", CHILD, url, CANARY]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(("Untrusted", "Unavailable")), done.stdout
        assert len(simulator.requests) == 2

"""Ten million points, exported by the real command in little more memory than a day of each series takes."""

import json
import os
import sqlite3
import subprocess
from contextlib import closing

import pytest

from tests.harness.processes import COLLECTOR, Collector, midnight, profile_toml, simulating

_SERIES, _POINTS = 50, 200_000
_MIB = 1 << 20
_FILL = """
INSERT INTO points (series_id, timestamp, value, fetch_id)
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
SELECT series.id, ? - 900 * n, (n * 7919 + series.id * 104729) % 1000003 * 0.5, 1 FROM series CROSS JOIN number"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store of so many series of so many points, each as if it had come with the first answer."""
    with simulating() as (_, url):
        collector = Collector(tmp_path_factory.mktemp("ten-million"), url)
        owners = json.dumps([f"Owner {number}" for number in range(_SERIES)])
        collector.configure(profile_toml("many", "15m", None, f"[profiles.each]\nca_owner = {owners}"))
        collector.run("collect")
    with closing(sqlite3.connect(collector.folder / "collector.db")) as connection, connection:
        connection.execute("DELETE FROM points")
        connection.execute(_FILL, (_POINTS, int(midnight(2).timestamp())))
    return collector


def peak(collector, *arguments):
    """The most memory that an export took, in bytes, and the length of what it wrote."""
    out = collector.folder / "out"
    process = subprocess.Popen(
        [*COLLECTOR, "export", "-o", str(out), *arguments],
        cwd=collector.folder,
        env=dict(collector.environ),
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # else it would be waited for once more
    assert process.returncode == 0
    return used.ru_maxrss * 1024, out.stat().st_size


@pytest.mark.campaign
@pytest.mark.parametrize("as_of", [(), ("--as-of", "now")], ids=["now", "as-of"])
@pytest.mark.parametrize("format_", ["csv", "jsonl", "json", "parquet"])
def test_ten_million_points_take_less_than_64_mib(filled, format_, as_of):
    idle, _ = peak(filled, "--format", format_, "--start", "4d", "--end", "3d")
    used, size = peak(filled, "--format", format_, *as_of)
    assert size > _SERIES * _POINTS
    assert used - idle < 64 * _MIB

"""All properties of an interval are in one table; documents that list intervals list all of them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from collector import docs
from collector.interval import AggInterval
from collector.settings.schema import points_key

ROOT = Path(__file__).parents[1]
FIFTH = """
    SIX_HOURS = "6h", _HOUR._replace(step=timedelta(hours=6), unit="6 hours", adverb="every 6 hours")
    ONE_DAY = """
WITH_A_FIFTH = """
import sys, types
path, program, *sys.argv[1:] = sys.argv[1:]
module = types.ModuleType("collector.interval")
sys.modules[module.__name__] = module
text = open(path).read().replace("import dataclass", "import dataclass, replace")
exec(text.replace("\\n    ONE_DAY = ", FIFTH), module.__dict__)
exec(program)
"""
CONFIG = """
[database]
url = "sqlite:///store.db"
[retention]
points_6h = "104w"
[[profiles]]
name = "six"
agg_interval = "6h"
"""


def with_a_fifth(program, *arguments, cwd=None):
    """Run *program* in a process whose table of intervals has one entry more."""
    path = str(ROOT / "collector/interval.py")
    command = [sys.executable, "-c", f"FIFTH = {FIFTH!r}\n{WITH_A_FIFTH}", path, program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd or ROOT)


def test_a_fifth_interval_is_one_entry_for_the_configuration(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    main = "from collector.cli.main import main; main()"
    done = with_a_fifth(f"sys.path.insert(0, {str(ROOT)!r}); {main}", "config", "check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = with_a_fifth(f"sys.path.insert(0, {str(ROOT)!r}); {main}", "config", "show", cwd=tmp_path)
    assert re.search(r"retention\.points_6h +728d", shown.stdout), shown
    (tmp_path / "config.toml").write_text(CONFIG.replace('"6h"', '"5h"'))
    wrong = with_a_fifth(f"sys.path.insert(0, {str(ROOT)!r}); {main}", "config", "check", cwd=tmp_path)
    assert (wrong.returncode, "15m, 1h, 6h, 1d, 1w" in wrong.stderr) == (2, True)


EVERY_MODULE = """
import importlib, pkgutil, collector
from datetime import timedelta
for one in pkgutil.walk_packages(collector.__path__, "collector."):
    if not one.name.endswith("__main__"):
        importlib.import_module(one.name)
from collector import docs
from collector.interval import AggInterval
from collector.collect import probe, schedule
from collector.collect.planning import request_limits
from collector.simulator import MAX_SPAN
from collector.settings import RetentionSettings
from collector.store.retention.prune import cutoffs
from collector.timestamps import utc_now
six = AggInterval("6h")
cutoffs(RetentionSettings({six: timedelta(days=1)}), utc_now(), {})
assert request_limits.initial_limits(six).shape.span == timedelta(days=31)
assert MAX_SPAN[six] == timedelta(days=31)
"""


def test_a_fifth_interval_is_one_entry_for_all_modules():
    done = with_a_fifth(EVERY_MODULE)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("interval", AggInterval)
def test_what_is_written_of_intervals_has_each(interval):
    widths = re.search(r"WIDTHS = (\{.*\})", (ROOT / "collector/serve/dashboard/view.js").read_text())
    assert json.loads(widths[1])[interval] == interval.properties.unit
    example = (ROOT / "config.example.toml").read_text()
    assert points_key(interval) in docs.page("settings")
    assert points_key(interval) in example
    assert re.search(rf"Width of a bucket:.* {interval}\b", example)


def test_the_description_of_the_api_names_every_interval():
    found = []

    def look(part):
        if isinstance(part, dict):
            found.extend([part["enum"]] if "15m" in part.get("enum", ()) else [])
            part = list(part.values())
        for one in part if isinstance(part, list) else ():
            look(one)

    look(json.loads((ROOT / "collector/serve/openapi.json").read_text()))
    assert found
    assert all(sorted({*one} - {None}) == sorted(AggInterval) for one in found)

"""Runs the long forms of the tests and prints what came of them as one table: `python -m tests.campaign [NAME…]`.

`pytest -m campaign` is the same without the table. A random test that fails says the seed that repeats it, to be given
back as COLLECTOR_TEST_SEED. All of it takes hours on two cores; names choose a part.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[1]
_PROCESSES = ("-n", "4", "--dist", "loadfile")
_SEED = re.compile(r"COLLECTOR_TEST_SEED=\d+")


@dataclass(frozen=True)
class Group:
    """What one row of the table tells, and the test files that are run for it."""

    what: str
    files: tuple[str, ...]


GROUPS = {
    "kills": Group("killed at 200 random moments, on SQLite and on Postgres", ("acceptance/test_kill.py",)),
    "writes": Group(
        "killed, out of space and in error at every write and sync", ("faults/test_killed_while_writing.py",)
    ),
    "power": Group("100,000 power failures", ("faults/test_power_loss.py",)),
    "commits": Group("100 replies to COMMIT lost", ("faults/test_lost_commits.py",)),
    "replicas": Group(
        "five replicas, 10,000 fires, 1,000 killed, 300 frozen, 100 lines cut, ten crashes of Postgres",
        ("acceptance/test_replicas_in_trouble.py",),
    ),
    "damage": Group("5,000 damaged stores", ("faults/test_damaged.py",)),
    "budget": Group("10,000 `Retry-After`, 100 restarts in five minutes", ("faults/test_budget.py",)),
    "outage": Group("Radar away for 41 hours, and flapping for six", ("faults/test_outage.py",)),
    "answers": Group("1,000,000 mutated answers", ("faults/test_fuzz_answers.py",)),
    "settings": Group("100,000 mutated configurations", ("faults/test_fuzz_settings.py",)),
    "model": Group("300 histories of 40 steps against a model", ("faults/test_repository.py",)),
    "year": Group("365 days of the service", ("faults/test_year.py",)),
    "clock": Group("two years of clock steps and pauses", ("faults/test_time.py",)),
    "poison": Group("single wrong answers of 160 kinds in six weeks", ("poison/test_poison.py",)),
    "limits": Group(
        "a year of 50 series under every hidden limit and way of refusing", ("collect/test_fewest_requests.py",)
    ),
    "ecosystem": Group(
        "the whole ecosystem: 60 kills of replicas and of backfills, each switch of the simulator, a week",
        ("acceptance/test_ecosystem.py", "faults/test_ecosystem.py", "faults/test_ecosystem_switches.py"),
    ),
    "memory": Group("200 profiles in 128 MiB", ("faults/test_memory.py",)),
}
_REST = "rest"


@dataclass(frozen=True)
class Row:
    """One row: what was tried, how many tests that were, how many failed, and how long it took."""

    what: str
    tests: int
    failures: int
    seconds: float
    seeds: tuple[str, ...] = ()


def row(what: str, report: str, seconds: float) -> Row:
    """Read pytest's JUnit *report*; what was skipped was not tried."""
    tests = failures = 0
    seeds: list[str] = []
    for case in ET.fromstring(report).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        tests += 1
        if case.find("failure") is not None or case.find("error") is not None:
            failures += 1
            seeds += _SEED.findall("".join(case.itertext()))[:1]
    return Row(what, tests, failures, seconds, tuple(seeds))


def table(rows: list[Row], day: datetime) -> str:
    """Write the rows as the table in `tests/README.md`."""
    lines = ["| what | tests | failures | seconds | date |", "|---|---|---|---|---|"]
    for one in rows:
        failures = " ".join([str(one.failures), *(f"`{seed}`" for seed in one.seeds)])
        lines.append(f"| {one.what} | {one.tests} | {failures} | {one.seconds:.0f} | {day:%Y-%m-%d} |")
    return "\n".join(lines) + "\n"


def arguments(name: str) -> tuple[str, list[str]]:
    """Give what a group's row tells, and what to call pytest with."""
    if name == _REST:
        known = [file for group in GROUPS.values() for file in group.files]
        return "all other long forms", ["tests", *(f"--ignore=tests/{file}" for file in known)]
    return GROUPS[name].what, [f"tests/{file}" for file in GROUPS[name].files]


def run(name: str, folder: Path) -> Row:
    """Run one group to its end."""
    what, selected = arguments(name)
    report = folder / f"{name}.xml"
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", *_PROCESSES, "-m", "campaign", "-q", f"--junitxml={report}", *selected]
    with (folder / f"{name}.log").open("wb") as log:
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    seconds = time.monotonic() - began
    return row(what, report.read_text(), seconds) if report.exists() else Row(f"{what}: see {log.name}", 0, 1, seconds)


def main() -> int:
    """Run what is named, or all of it; exit 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", choices=[[], *GROUPS, _REST], metavar="NAME", help=", ".join([*GROUPS, _REST])
    )
    folder = Path(tempfile.mkdtemp(prefix="collector-campaign-"))
    sys.stderr.write(f"what pytest says is kept in {folder}\n")
    rows = []
    for name in parser.parse_args().names or [*GROUPS, _REST]:
        rows.append(run(name, folder))
        sys.stderr.write(f"{name}: {rows[-1]}\n")
    sys.stdout.write(table(rows, datetime.now(UTC)))
    return int(any(one.failures for one in rows))


if __name__ == "__main__":
    sys.exit(main())

import os
import subprocess
import sys
from functools import partial
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from collector.cli.main import command
from collector.model import Annotation
from collector.store import Store
from tests.conftest import in_a_thread
from tests.harness.command_line import folder_of_store, invoke
from tests.harness.factories import DAY, HOUR, batch, hours, profile, query, saved


async def _fill(url):
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile("all"), profile("empty", caOwner=("A",))], DAY)
        await saved(store, batch((query(), hours(0, 12))), [float(n) for n in range(12)], unit="certificates")


@pytest.fixture
def folder(tmp_path, monkeypatch, sqlite_url):
    """A working directory whose configuration names a store with points."""
    in_a_thread(_fill(sqlite_url))
    return folder_of_store(tmp_path, monkeypatch, sqlite_url)


@pytest.fixture
def run(folder):
    return partial(invoke, "plot")


def test_a_chart_goes_to_stdout_without_colour_where_no_terminal_is(run):
    done = run("all", COLUMNS="90")
    assert (done.exit_code, done.stderr) == (0, "")
    rows = done.stdout.splitlines()
    assert rows[:2] == ["all: certificates, hourly", "2026-04-30 00:00 to 2026-04-30 12:00 UTC"]
    assert max(map(len, rows)) == 90
    assert "\x1b" not in done.stdout


def test_a_period_can_be_chosen(run):
    assert (
        "2026-04-30 02:00 to 2026-04-30 04:00 UTC"
        in run("all", "--start", "2026-04-30T02:00:00Z", "--end", "2026-04-30T04:00:00Z").stdout
    )


@pytest.mark.parametrize(
    ("period", "said"),
    [
        (("--start", "2026-05-02"), "from 2026-05-02T00:00:00Z on"),
        (("--end", "2026-04-29"), "before 2026-04-29T00:00:00Z"),
    ],
)
def test_a_period_without_points_is_named_in_the_message(run, period, said):
    done = run("all", *period)
    stored = "2026-04-30T00:00:00Z..2026-04-30T12:00:00Z"
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"collector: no point of profile 'all' {said}; stored are {stored}\n"


@pytest.mark.parametrize(("name", "begins"), [("all.png", b"\x89PNG"), ("all.SVG", b"<?xml")])
def test_a_picture_goes_into_a_file(run, folder, name, begins):
    done = run("all", "--log", "-o", name)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"{name}: 12 points\n")
    assert (folder / name).read_bytes().startswith(begins)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["config.toml", name])


def test_the_first_picture_on_a_machine_is_drawn_without_a_word_of_the_library(folder, tmp_path):
    """Which makes a list of the fonts then."""
    argv = [sys.executable, "-m", "collector", "plot", "all", "-o", "all.png"]
    environ = {**os.environ, "MPLCONFIGDIR": str(tmp_path / "matplotlib")}
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "all.png: 12 points\n")
    assert [*(tmp_path / "matplotlib").glob("fontlist*")]


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (2, ["al"], "the store has no profile 'al' (did you mean \"all\"?); it has: all, empty"),
        (2, ["all", "-o", "all.gif"], "'all.gif' does not end in .png or .svg"),
        (2, ["all", "-o", "none/all.png"], "cannot write none/all.png: no such file or directory"),
        (2, ["all", "--start", "1d", "--end", "2d"], "is after --end"),
        (2, [], "Missing argument 'PROFILE'"),
        (1, ["empty"], "there are no points of profile 'empty' yet"),
        (1, ["all", "--start", "2026-05-01"], "stored are 2026-04-30T00:00:00Z..2026-04-30T12:00:00Z"),
    ],
)
def test_a_chart_that_cannot_be_drawn_is_a_sentence(run, folder, code, arguments, said):
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout) == (code, "")
    assert said in refused.stderr
    assert [path.name for path in folder.iterdir()] == ["config.toml"]


HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e\x7f"


async def _fill_with_hostile_text(url):
    moment = DAY + 3 * HOUR
    remark = Annotation(moment, moment, HOSTILE, f"OUTAGE{HOSTILE}", f"said {HOSTILE}", "https://example.com", True)  # noqa: FBT003 - a value of the API
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile("all"), profile("empty", caOwner=("A",))], DAY)
        pieces = batch((query(), hours(0, 12)))
        await saved(store, pieces, [float(n) for n in range(12)], unit=f"unit{HOSTILE}", annotations=[remark])


def test_no_command_prints_a_control_character_that_radar_sent(folder, tmp_path):
    """In a chart, a picture, tables and JSON; the store keeps the text as it came."""
    in_a_thread(_fill_with_hostile_text(f"sqlite:///{tmp_path}/hostile.db"))
    (folder / "config.toml").write_text(f'[database]\nurl = "sqlite:///{tmp_path}/hostile.db"\n')
    arguments = [
        ["plot", "all"],
        *([name, *form] for name in ("annotations", "series", "fetches") for form in ([], ["--format", "json"])),
    ]
    for each in arguments:
        done = CliRunner().invoke(command, each, prog_name="collector")
        assert done.exit_code == 0, done.stderr
        assert (done.stdout + done.stderr).replace("\n", "").isprintable(), each
    assert "owned" in done.stdout or "unit" in done.stdout
    assert CliRunner().invoke(command, ["plot", "all", "-o", "all.svg"], prog_name="collector").exit_code == 0
    ET.parse(folder / "all.svg")

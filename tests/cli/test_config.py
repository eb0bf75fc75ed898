import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.cli.commands.config import example
from collector.cli.main import command
from collector.model import Answer, Meta, Points, Window
from collector.settings import load
from collector.store import Store
from tests.harness.command_line import empty_folder, invoke
from tests.harness.factories import DAY, NOW, batch, start_fetch

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    return empty_folder(tmp_path, monkeypatch)


@pytest.fixture
def run():
    return partial(invoke, "config")


def test_init_writes_an_example_that_check_accepts(run, folder):
    assert run("init").exit_code == 0
    assert (folder / "config.toml").read_text() == EXAMPLE.read_text()
    checked = run("check", CLOUDFLARE_API_TOKEN="hunter22")
    assert (checked.exit_code, checked.output) == (0, "config.toml: 2 profiles, 3 series, ok\n")


def test_init_prints_to_stdout_for_a_dash(run, folder):
    assert run("init", "-").stdout == EXAMPLE.read_text()
    assert list(folder.iterdir()) == []


def test_init_overwrites_only_when_forced(run, folder):
    (folder / "mine.toml").write_text("mine")
    refused = run("init", "mine.toml")
    assert refused.exit_code == 2
    assert "mine.toml exists; --force overwrites it" in refused.stderr
    assert (folder / "mine.toml").read_text() == "mine"
    assert run("init", "--force", "mine.toml").exit_code == 0
    assert (folder / "mine.toml").read_text() == example()


def test_init_says_where_it_cannot_write(run):
    refused = run("init", "none/config.toml")
    assert refused.exit_code == 2
    assert "cannot write none/config.toml: no such file or directory" in refused.stderr


def test_check_reports_everything_on_stderr_with_exit_2(run, folder):
    (folder / "bad.toml").write_text('[radar]\ntimeout = 5\n[[profiles]]\nname = "a"\nagg_interval = "1x"')
    checked = run("check", "--config", "bad.toml")
    assert checked.exit_code == 2
    assert checked.stdout == ""
    assert checked.stderr.splitlines() == [
        "collector: 2 problems in the configuration",
        'bad.toml:2: radar.timeout: found 5: not a duration in quotes; allowed: a duration from "1s" to "10m"',
        'bad.toml:5: profiles[0].agg_interval: found "1x"; allowed: 15m, 1h, 1d, 1w',
    ]


def test_check_says_where_it_looked(run):
    checked = run("check")
    assert checked.exit_code == 2
    assert "no file found (looked for $COLLECTOR_CONFIG, config.toml)" in checked.stderr
    assert "collector config init" in checked.stderr


def test_check_warns_that_nothing_would_be_collected(run, folder):
    (folder / "config.toml").write_text("")
    checked = run("check")
    assert (checked.exit_code, checked.stdout) == (0, "config.toml: 0 profiles, 0 series, ok\n")
    assert "there are no [[profiles]]" in checked.stderr


def test_check_says_that_credentials_are_missing(run):
    run("init")
    checked = run("check", CLOUDFLARE_API_TOKEN=None)
    assert checked.exit_code == 0
    assert checked.stderr.startswith("there are no credentials for Radar: set CLOUDFLARE_API_TOKEN")


def test_check_counts_a_series_that_two_profiles_share_once(run, folder):
    (folder / "config.toml").write_text(
        "".join(f'[[profiles]]\nname = "{name}"\nagg_interval = "1d"\n' for name in "ab")
    )
    assert run("check").stdout == "config.toml: 2 profiles, 1 series, ok\n"


def test_the_file_can_be_named_before_the_command(folder):
    (folder / "other.toml").write_text("")
    done = CliRunner().invoke(command, ["--config", "other.toml", "config", "check"])
    assert done.stdout.startswith("other.toml: 0 profiles")


def test_show_masks_secrets_and_names_the_origin_of_values(run, folder):
    (folder / "config.toml").write_text(EXAMPLE.read_text())
    environ = {"CLOUDFLARE_API_TOKEN": "hunter22", "COLLECTOR_DATABASE__URL": "postgresql://u:hunter22@h/d"}
    table = run("show", **environ)
    shown = run("show", "--format", "json", **environ)
    assert table.exit_code == shown.exit_code == 0
    assert "hunter22" not in table.output + shown.output
    rows = {row["key"]: row for row in json.loads(shown.stdout)}
    assert rows["database.url"]["value"] == "postgresql://u:***@h/d"
    assert rows["radar.api_token"] == {"key": "radar.api_token", "value": "***", "from": "CLOUDFLARE_API_TOKEN"}
    assert rows["server.port"]["value"] == 8080
    assert rows["server.port"]["from"].startswith("config.toml:")
    assert rows["profiles[1].series"]["value"][1] == "by-owner/DigiCert, Inc."
    assert '"Internet Security Research Group", "DigiCert, Inc."' in table.stdout


def test_show_works_without_a_file(run):
    rows = json.loads(run("show", "--format", "json").stdout)
    assert {row["from"] for row in rows} == {"default"}


@pytest.mark.parametrize("arguments", [[], ["check"], ["show"], ["init"]])
def test_every_command_has_help_with_an_example(arguments, run):
    shown = run(*arguments, "--help")
    assert shown.exit_code == 0
    assert "Example: collector config" in shown.stdout
    assert "\\b" not in shown.stdout


def test_help_imports_no_pydantic():
    code = "import sys; import collector.cli.commands.config, collector.settings; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=EXAMPLE.parent).returncode == 0


RELATIVE = """
[radar]
base_url = "http://127.0.0.1:9"
[database]
url = "{url}"
[[profiles]]
name = "all"
agg_interval = "1h"
since = 2026-01-01
[[profiles]]
name = "recent"
agg_interval = "1d"
"""


async def _answered(url, normalization):
    profiles = load("config.toml", environ={}).profiles
    async with Store.open(url, owner="test") as store:
        await store.activate_labels(profiles, NOW)
        for one in profiles:
            asked = batch((one.series[0].query, Window(DAY, DAY + timedelta(days=1))))
            series = tuple(Points([int(DAY.timestamp())], [1.0]) for _ in asked.slices)
            ranges = tuple((piece.window.start, piece.window.end) for piece in asked.slices)
            meta = Meta(asked.agg_interval, NOW, normalization, "*", 5, ranges, ())
            await store.save(await start_fetch(store, asked, NOW), asked, Answer(meta, series), NOW, 1)


@pytest.mark.parametrize(("normalization", "warned"), [("MIN_MAX", True), ("RAW_VALUES", False)])
def test_check_warns_of_since_with_relative_values(run, folder, store_url, normalization, warned):
    (folder / "config.toml").write_text(RELATIVE.format(url=store_url))
    asyncio.run(_answered(store_url, normalization))
    checked = run("check", CLOUDFLARE_API_TOKEN="hunter22")
    assert checked.exit_code == 0
    lines = checked.stderr.splitlines()
    assert len(lines) == warned
    if warned:
        assert lines[0].startswith('profile "all": Radar scales the values within each answer (MIN_MAX)')


@pytest.mark.parametrize("url", ["sqlite:///nothing.db", "sqlite:///damaged.db", "postgresql://nobody@127.0.0.1:9/no"])
def test_check_needs_no_store(run, folder, url):
    (folder / "damaged.db").write_text("this is no store")
    (folder / "config.toml").write_text(RELATIVE.format(url=url))
    checked = run("check", CLOUDFLARE_API_TOKEN="hunter22")
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert not (folder / "nothing.db").exists()

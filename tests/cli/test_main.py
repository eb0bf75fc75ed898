"""The command line as a whole."""

from __future__ import annotations

import importlib
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import collector
from collector import __version__
from collector.cli.main import _COMMANDS, command, help_width

_TIMES_THE_FLOOR = 1.7
"""How much more than starting Python with what parses the command line: 100 ms, where that takes 58."""

_FEW_COLLECTIONS = 20


def _run(*arguments):
    return CliRunner().invoke(command, arguments, prog_name="collector")


def test_it_works():
    done = _run("--help")
    assert done.exit_code == 0
    for name, known in _COMMANDS.items():
        assert name in done.output
        assert known.summary.split()[0] in done.output
    assert __version__ in _run("--version").output


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_a_help_with_an_example(name):
    done = _run(name, "--help")
    assert done.exit_code == 0, done.output
    module = importlib.import_module(f"collector.cli.commands.{_COMMANDS[name].module}")
    found = getattr(module, f"{name}_command")
    parts = found.commands.values() if hasattr(found, "commands") else [found]
    assert all("Example: collector " in (part.help or "") for part in parts) or "Example: collector " in done.output


def test_help_costs_little_more_than_starting_python():
    """Taken by turns, so that a busy neighbour slows both."""
    both = [(_cpu_seconds("-m", "collector", "--help"), _cpu_seconds("-c", "import click")) for _ in range(8)]
    helps, floors = zip(*both, strict=True)
    assert min(helps) < _TIMES_THE_FLOOR * min(floors)


def _cpu_seconds(*arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


_OF_CLICK = "import sys, gc, signal, click, click._textwrap, locale; print(*sys.modules)"
_STARTED = """
import sys
from collector.__main__ import main
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
print(*sys.modules, file=sys.stderr)
"""


def _imported(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return {*(done.stdout if code is _OF_CLICK else done.stderr).split()}


def test_help_imports_click_and_five_modules_of_ours():
    ours = {"", ".__main__", ".cli", ".cli.main", ".cli.signals", ".errors", ".text"}
    assert _imported(_STARTED, "--help") - _imported(_OF_CLICK) == {f"collector{name}" for name in ours}


@pytest.mark.parametrize("columns", [None, "", "0", "-1", "wide", "30", "52", "80", "102", "200"])
def test_help_is_as_wide_as_click_makes_it(columns, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    context = click.Context(click.Command("any"), max_content_width=100)
    assert help_width() == context.make_formatter().width


@pytest.mark.parametrize("name", _COMMANDS)
def test_help_of_a_command_imports_no_database_and_no_server(name):
    heavy = {"aiohttp", "sqlalchemy", "pydantic", "rich", "alembic", "apscheduler", "asyncio", "http.client", "psycopg"}
    assert not heavy & _imported(_STARTED, name, "--help")


def test_status_imports_what_reading_needs_and_no_more(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        f'[database]\nurl = "sqlite:///{tmp_path}/store.db"\n[[profiles]]\nname = "all"\nagg_interval = "1h"'
    )
    _imported(_STARTED, "--config", str(config), "db", "upgrade")
    imported = _imported(_STARTED, "--config", str(config), "status")
    assert {"sqlalchemy", "pydantic", "collector.store.reader"} <= imported
    parts = {".radar", ".serve", ".collect", ".simulator", ".contract", ".daemon", ".store.admin"}
    unneeded = {"aiohttp", "alembic", "apscheduler", "http.client", "psycopg", "rich", "yarl"}
    assert not imported & (unneeded | {f"collector{part}" for part in parts})
    assert "sqlalchemy.dialects.sqlite" in imported


_COLLECTIONS = """
import gc
from collector.__main__ import main
try:
    main()
finally:
    print(sum(generation["collections"] for generation in gc.get_stats()))
"""


def test_a_command_that_lists_rows_looks_for_garbage_a_few_times_only(tmp_path):
    environ = os.environ | {"COLLECTOR_DATABASE__URL": f"sqlite:///{tmp_path}/store.db"}
    subprocess.run([sys.executable, "-m", "collector", "db", "upgrade"], check=True, cwd=tmp_path, env=environ)
    series = [sys.executable, "-c", _COLLECTIONS, "series"]
    done = subprocess.run(series, capture_output=True, check=True, text=True, cwd=tmp_path, env=environ)
    assert int(done.stdout.split()[-1]) < _FEW_COLLECTIONS


def test_a_plugin_of_pydantic_that_another_package_brings_is_not_loaded(tmp_path):
    (tmp_path / "nosy.py").write_text("open('seen', 'w')\nplugin = None\n")
    package = tmp_path / "nosy-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: nosy\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[pydantic]\nnosy = nosy:plugin\n")
    (tmp_path / "config.toml").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from collector.__main__ import main; main()"
    environ = {name: text for name, text in os.environ.items() if name != "PYDANTIC_DISABLE_PLUGINS"}
    environ["PYTHONPATH"] = str(Path(collector.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code, "config", "show"], check=True, cwd=tmp_path, env=environ)
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize("arguments", [("nonsense",), ("--nonsense",), ("collect", "--nonsense")])
def test_wrong_usage_exits_with_2(arguments):
    assert _run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "suggested"),
    [(("collcet",), "'collect'"), (("db", "verfy"), "'verify'"), (("status", "--fromat", "json"), "--format")],
)
def test_a_mistyped_command_gets_a_suggestion_as_an_option_does(arguments, suggested):
    done = _run(*arguments)
    assert done.exit_code == 2
    assert re.search(rf"Did you mean (one of: )?.*{suggested}", done.stderr, re.IGNORECASE), done.stderr


def test_the_configuration_may_be_named_before_or_behind_the_command(tmp_path):
    for arguments in (
        ("--config", str(tmp_path / "no.toml"), "status"),
        ("status", "--config", str(tmp_path / "no.toml")),
    ):
        done = _run(*arguments)
        assert done.exit_code == 2
        assert "no.toml" in done.output

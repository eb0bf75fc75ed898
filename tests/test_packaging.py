"""What a user gets: the wheel, its dependencies, a command that starts fast, and no other files."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TOP_LEVEL = {
    "Dockerfile",
    "LICENSE",
    "README.md",
    "collector",
    "config.example.toml",
    "migrations",
    "pyproject.toml",
    "requirements.lock",
    "tests",
}


def _run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture
def installed(wheel, tmp_path):
    """The unpacked wheel, and the environment that prefers it to the checkout."""
    folder = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def test_the_wheel_carries_the_migrations_and_the_example_configuration(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    migrations = {f"collector/{path.relative_to(ROOT)}" for path in (ROOT / "migrations").rglob("*.py")}
    assert migrations
    assert migrations | {"collector/migrations/script.py.mako", "collector/config.example.toml"} <= names


def test_the_wheel_carries_every_module_and_no_test(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "collector").rglob("*.py")} <= names
    assert not [name for name in names if name.startswith("tests/")]


def test_the_wheel_creates_a_store_away_from_the_checkout(installed, tmp_path):
    python = (sys.executable, "-m", "collector")
    where = _run(sys.executable, "-c", "import collector; print(collector.__file__)", cwd=tmp_path, env=installed)
    assert where.startswith(str(tmp_path))
    _run(*python, "config", "init", "config.toml", cwd=tmp_path, env=installed)
    _run(*python, "--config", "config.toml", "db", "upgrade", cwd=tmp_path, env=installed)
    assert list(tmp_path.glob("*.db"))


def test_nothing_stands_at_the_top_level_beyond_the_agreed_list():
    if not ((ROOT / ".git").exists() and shutil.which("git")):
        pytest.skip("needs a checkout and git")
    tracked = _run("git", "ls-files", cwd=ROOT).split("\n")
    assert {path.split("/")[0] for path in tracked if path and not path.startswith(".")} <= TOP_LEVEL


def test_every_dependency_says_why_it_is_there():
    text = (ROOT / "pyproject.toml").read_text()
    extras = itertools.chain.from_iterable(PROJECT["optional-dependencies"].values())
    for requirement in [*PROJECT["dependencies"], *extras]:
        assert re.search(rf'^  "{re.escape(requirement)}", +# \S', text, re.MULTILINE), requirement


_DISTRIBUTIONS = {
    "markdown_it": "markdown-it-py",
    "prometheus_client": "prometheus-client",
    "pydantic_settings": "pydantic-settings",
}
"""Of modules whose distribution has another name."""


def _imported(folder):
    """The top-level modules that are imported anywhere below *folder*, also within functions."""
    nodes = (node for path in (ROOT / folder).rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_every_package_that_is_imported_is_declared():
    extras = [PROJECT["optional-dependencies"][extra] for extra in ("plot", "parquet")]
    declared = {Requirement(one).name.lower() for one in itertools.chain(PROJECT["dependencies"], *extras)}
    imported = {*_imported("collector"), *_imported("migrations")} - sys.stdlib_module_names - {"collector"}
    assert {"aiohttp", "pydantic", "matplotlib"} <= imported
    assert {_DISTRIBUTIONS.get(name, name) for name in imported} - declared == set()


def _locked():
    lines = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    return [line.split(" --hash=") for line in lines if line.strip() and not line.startswith("#")]


def test_the_lock_file_holds_every_dependency_at_an_allowed_version():
    locked = {Requirement(line[0]).name: Requirement(line[0]).specifier for line in _locked()}
    for wanted in map(Requirement, PROJECT["dependencies"]):
        version = str(locked[wanted.name.lower()]).removeprefix("==")
        assert wanted.specifier.contains(version), wanted


def test_the_lock_file_has_hashes_and_names_no_host():
    assert all(len(line) > 1 and all(part.startswith("sha256:") for part in line[1:]) for line in _locked())
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_the_commands_that_the_readme_promises_are_those_that_ci_runs():
    readme = (ROOT / "README.md").read_text()
    promised = [line for line in readme.splitlines() if line.startswith("python3 -m venv") and "-m pytest" in line]
    assert len(promised) == 1
    assert promised[0] in map(str.strip, (ROOT / ".ci" / "run").read_text().splitlines())


def test_imports_keep_their_direction():
    lint = Path(sys.executable).with_name("lint-imports")
    _run(lint, "--no-cache", cwd=ROOT)


@pytest.mark.parametrize("folder", ["collector", "migrations"])
def test_nothing_prints_behind_the_command_line(folder):
    for path in (ROOT / folder).rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"], path

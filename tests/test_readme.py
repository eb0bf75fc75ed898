"""Every command block of the README runs, in the README's order, against a simulator in place of Radar.

So do the examples of the reference that are TOML, Python or SQL.

Docker's block and the lines that `.ci/run` executes with a package registry are only compared here.
"""

import configparser
import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from collector import docs
from collector.cli.main import command
from collector.settings.sources import VARIABLES
from tests.harness.processes import CANARY, simulating

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci" / "run").read_text()
SHIPPED = ("collector", "migrations", "pyproject.toml", "README.md", "LICENSE", "config.example.toml")
MOST_BYTES = 9_000
SERVICES = ("collector run", "collector demo")
NEEDS_A_STOPPED_SERVICE = ("db restore", "db copy")


def blocks(text):
    """Every fenced block as (language, content)."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines(block):
    return [line for line in block.splitlines() if line]


INSTALL = [line for language, block in blocks(README) if language == "sh" for line in lines(block) if "install" in line]
"""The ways to install: demo, venv with extras, pipx, uv tool, and the one for tests."""


def test_the_readme_is_short():
    assert len(README.encode()) <= MOST_BYTES


def test_ci_runs_every_way_to_install():
    commands = {line.strip() for line in CI.splitlines()}
    assert len(INSTALL) == 5
    assert [line for line in INSTALL if "collector demo" not in line and line not in commands] == []


@pytest.mark.parametrize("target", sorted({*re.findall(r"\]\(([^)#:]+)\)", README)}))
def test_every_link_to_a_file_leads_somewhere(target):
    assert (ROOT / target).exists()


class Reader:
    """Runs blocks in one folder, like a user with one terminal for the service and one for everything else."""

    def __init__(self, folder, base_url, postgres_url):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.postgres_url, self.services = folder, postgres_url, []
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("COLLECTOR_", "PYTHON"))}
        self.environ = kept | {
            "CLOUDFLARE_API_TOKEN": CANARY,
            "COLLECTOR_RADAR__BASE_URL": base_url,
            "COLLECTOR_SERVER__PORT": str(self.port),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("site-packages")),
            # The packages that pip would download are those of this environment.
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
        }

    def run(self, language, block):
        getattr(self, f"run_{language}")(self.adapted(block))

    def adapted(self, block):
        """Put in what the README leaves open: the token, the database, and a port that is free here."""
        text = block.replace("=…", f"={CANARY}").replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        text = text.replace("postgresql://collector@db.example/radar", self.postgres_url)
        return text.replace("collector demo", f"collector demo --port {self.port}")

    def run_sh(self, block):
        if any(words in block for words in NEEDS_A_STOPPED_SERVICE):
            self.stop()
        if any(name in lines(block)[-1] for name in SERVICES):
            self.start(block)
        else:
            self.call("bash", "-euo", "pipefail", "-c", block)

    def run_python(self, block):
        self.call(sys.executable, "-c", block)

    def run_sql(self, block):
        with contextlib.closing(sqlite3.connect(self.folder / "collector.db")) as connection:
            assert connection.execute(block).fetchall(), block

    def run_toml(self, block):
        (self.folder / "profile.toml").write_text(block)
        self.call("collector", "config", "check", "--config", "profile.toml")

    def call(self, *argv):
        done = subprocess.run(
            argv, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{argv[-1]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.stdout or " > " in argv[-1], argv[-1]
        return done.stdout

    def start(self, block):
        """Start a service and wait until it is ready: every profile has the history that is due."""
        argv = ("bash", "-euo", "pipefail", "-c", block)
        with (self.folder / "service.log").open("wb") as log:
            process = subprocess.Popen(
                argv, cwd=self.folder, env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
        self.services.append(process)
        deadline = time.monotonic() + 300
        while not self.is_ready():
            said = (self.folder / "service.log").read_text()[-3000:]
            assert process.poll() is None, f"{block}\n{said}"
            assert time.monotonic() < deadline, f"{block}\n{said}"
            time.sleep(0.2)

    def is_ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status == 200
        except (OSError, urllib.error.HTTPError):
            return False

    def stop(self):
        while self.services:
            process = self.services.pop()
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@pytest.fixture
def clone(tmp_path):
    """What a clone has of the package, without the environment that this test runs in."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_the_demo_runs_in_a_clone(clone):
    reader = Reader(clone, "http://127.0.0.1:9", "")
    (block,) = [block for _, block in blocks(README) if "collector demo" in block]
    try:
        reader.run("sh", block)
        page = urllib.request.urlopen(f"http://127.0.0.1:{reader.port}/").read()
        assert b"Simulated" in page
        installed = "import collector, sys; print(collector.__file__.startswith(sys.prefix))"
        assert reader.call(clone / ".venv/bin/python", "-P", "-c", installed) == "True\n"
    finally:
        reader.stop()


def test_every_block_after_the_installation_and_every_example_of_the_reference_runs(tmp_path, empty_postgres_url):
    ours = [
        (language, block)
        for language, block in blocks(README)
        if "docker" not in block and not any(line in INSTALL for line in lines(block))
    ]
    assert {language for language, _ in ours} == {"sh", "toml", "python", "sql"}
    examples = [one for name in docs.PAGES for one in blocks(docs.page(name)) if one[0] in {"toml", "python", "sql"}]
    assert len(examples) >= 4
    last_reader = max(place for place, (language, _) in enumerate(ours) if language == "python")
    with simulating() as (_, base_url):
        reader = Reader(tmp_path, base_url, empty_postgres_url)
        try:
            for language, block in [*ours[: last_reader + 1], *examples, *ours[last_reader + 1 :]]:
                reader.run(language, block)
        finally:
            reader.stop()
    assert {"metrics.json", "history.json", "alerts.yml", "points.csv", "backup.db"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_the_docker_commands_of_readme_and_reference_are_the_same():
    found = [[block for _, block in blocks(text) if "docker run" in block] for text in (README, docs.page("service"))]
    assert found[0] == found[1]
    assert len(found[0]) == 1


def test_the_compose_file_of_the_reference_gives_the_token_to_the_service():
    (text,) = [block for language, block in blocks(docs.page("service")) if language == "yaml"]
    compose = yaml.safe_load(text)
    service = compose["services"]["collector"]
    (variable,) = service["environment"]
    assert variable.removesuffix("_FILE") in VARIABLES
    assert service["environment"][variable] == f"/run/secrets/{service['secrets'][0]}"
    assert {*service["secrets"]} == {*compose["secrets"]}


def test_the_systemd_unit_of_the_reference_starts_and_reloads_the_service():
    (text,) = [block for language, block in blocks(docs.page("service")) if language == "ini"]
    unit = configparser.ConfigParser(interpolation=None, delimiters="=")
    unit.optionxform = str
    unit.read_string(text)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "collector"
    assert CliRunner().invoke(command, [arguments[0], "--help"]).exit_code == 0
    assert unit["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    variable, _, value = unit["Service"]["Environment"].partition("=")
    assert variable.removesuffix("_FILE") in VARIABLES
    assert unit["Service"]["LoadCredential"].partition(":")[0] == value.removeprefix("%d/")

"""The error if an optional dependency is missing."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from collector.errors import UsageError
from collector.report import export
from collector.report.export import FORMATS
from collector.report.plot import image
from collector.report.plot.image import render
from tests.harness.chart_factories import chart, line

DECLARED = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.fixture
def missing(monkeypatch):
    """Makes modules look as if they were not installed."""
    absent = {"matplotlib", "pyarrow"}
    for module in (export, image):
        monkeypatch.setattr(module, "find_spec", lambda name: None if name in absent else object())
    return absent


@pytest.mark.parametrize(
    ("extra", "use"),
    [
        ("plot", lambda: render(chart(line("a", 1)), "png", log=False)),
        ("parquet", lambda: FORMATS["parquet"](None, {})),
    ],
)
def test_the_command_names_the_declared_packages_which_any_kind_of_installation_takes(missing, extra, use):
    with pytest.raises(UsageError) as refused:
        use()
    assert str(refused.value).endswith(f"install it: {sys.executable} -m pip install '{DECLARED[extra][0]}'")


def test_the_docker_image_which_has_no_pip_is_built_with_it(missing):
    missing.add("pip")
    said = export.how_to_install("matplotlib", "plot")
    assert said.endswith("build the Docker image with --build-arg EXTRAS=plot")
    assert sys.prefix in said


def test_modules_that_were_never_installed_name_the_package(missing, monkeypatch):
    def none(_name):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", none)
    assert export.how_to_install("matplotlib", "plot").endswith("-m pip install matplotlib")

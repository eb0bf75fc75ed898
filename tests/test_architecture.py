"""The architecture note in the docstring of the package names modules and folders that exist."""

import re
from pathlib import Path

import pytest

import collector

PACKAGE = Path(collector.__file__).parent
ROOT = PACKAGE.parent
NOTE = collector.__doc__
NAMED = sorted({*re.findall(r"(?<![\w/.])[a-z_]+(?:/[a-z_]+)*(?:/|\.(?:py|js|json))(?![\w/])", NOTE)})
FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())
MOST_LINES = 60


@pytest.mark.parametrize("name", NAMED)
def test_every_module_and_folder_of_the_note_exists(name):
    places = [ROOT, PACKAGE, PACKAGE / "serve/dashboard", *(PACKAGE / folder for folder in FOLDERS)]
    assert any((place / name).exists() for place in places), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_note_names_every_folder_of_the_package(folder):
    assert f"{folder}/" in NOTE


def test_the_note_without_its_words_is_short():
    architecture, words = NOTE.split("The words that this project defines.")
    assert len(architecture.splitlines()) <= MOST_LINES
    assert len(words.strip().splitlines()) >= 20


@pytest.mark.parametrize(
    "name", sorted({*re.findall(r"`([a-z_]+(?:/|\.py))`", (ROOT / "tests/README.md").read_text())})
)
def test_every_file_and_folder_of_the_tests_note_exists(name):
    assert any((ROOT / "tests" / folder / name).exists() for folder in (".", "harness"))

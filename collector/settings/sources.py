"""The sources of settings. Each gives a layer: values by section and key, and where each of them stands.

Files named by a source are read here. A key that a source of higher precedence has set is left out, so that a file
which is not needed need not exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_settings import EnvSettingsSource

from collector.settings.files import MOUNTED_SECRETS, read_value
from collector.settings.problem import COMMAND_LINE, ENVIRONMENT, Place, shown_path, written
from collector.settings.tables import CONFIDENTIAL, SECTIONS, Tables
from collector.settings.variables import SECRETS_DIR, VARIABLES, find_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from pydantic.fields import FieldInfo

    from collector.settings.problem import KeyPath, Report

_SWITCHES = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_WHOLE = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True)
class Layer:
    """What one source says: `values["radar"]["timeout"]` stands at `place(("radar", "timeout"))`."""

    values: Mapping[str, Mapping[str, Any]]
    place: Callable[[KeyPath], Place]

    @property
    def paths(self) -> frozenset[KeyPath]:
        """Every key that the source sets."""
        return frozenset((section, key) for section, table in self.values.items() for key in table)


class _Texts(EnvSettingsSource):
    """The environment source of pydantic-settings over texts by key instead of over the process's environment."""

    def __init__(self, texts: Mapping[tuple[str, str], str | None]) -> None:
        self._texts = {f"collector_{section}__{key}": text for (section, key), text in texts.items() if text}
        super().__init__(Tables)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._texts

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002 - as declared
        """Leave a list as the text that it is: the table's check reads it."""
        return value

    def __call__(self) -> dict[str, Any]:
        return {
            section: {key: _typed(section, key, text) for key, text in table.items()}
            for section, table in super().__call__().items()
        }


def _typed(section: str, key: str, text: str) -> object:
    """Turn text into what TOML would have given; text that cannot be turned is refused by the table's check."""
    model = SECTIONS.get(section)
    wanted = model.model_fields[key].annotation if model and key in model.model_fields else str
    if wanted is bool:
        return _SWITCHES.get(text.lower(), text)
    return int(text) if wanted is int and _WHOLE.fullmatch(text) else text


def command_line(overrides: Mapping[str, object]) -> Layer:
    """Take `{"server.port": 8080}`; None counts as not given."""
    values: dict[str, dict[str, Any]] = {}
    for name, value in overrides.items():
        section, _, key = name.partition(".")
        if value is not None:
            typed = _typed(section, key, value) if isinstance(value, str) else value
            values.setdefault(section, {})[key] = typed
    return Layer(values, lambda path: Place(COMMAND_LINE, written(path)))


def environment(environ: Mapping[str, str], report: Report) -> Layer:
    """Take the variables that hold a value; an empty one counts as not set, and unknown ones are reported."""
    for name, text in find_unknown(environ):
        report.add((name,), Place(ENVIRONMENT, name), text)
    names = {path: name for name, path in VARIABLES.items() if environ.get(name)}
    texts = {path: environ[name] for path, name in names.items()}
    return Layer(_Texts(texts)(), lambda path: Place(ENVIRONMENT, names[_pair(path)]))


def variable_files(environ: Mapping[str, str], taken: Container[KeyPath], report: Report) -> Layer:
    """Take the variables that name a file, `…_FILE`."""
    names = {path: f"{name}_FILE" for name, path in VARIABLES.items() if environ.get(f"{name}_FILE")}
    texts = {
        path: read_file(path, environ[name], Path(environ[name]), Place(ENVIRONMENT, name), report)
        for path, name in names.items()
        if path not in taken
    }
    return Layer(_Texts(texts)(), lambda path: Place(ENVIRONMENT, names[_pair(path)]))


def secrets_directory(environ: Mapping[str, str], taken: Container[KeyPath], report: Report) -> Layer:
    """Take the files of a directory that bear the names of variables, in upper or lower case."""
    files: dict[tuple[str, str], Path] = {}
    for file in _secret_files(environ, report):
        path = VARIABLES.get(file.name.upper())
        if path is not None:
            files[path] = file
        for _, text in find_unknown({file.name.upper(): ""}):
            report.add((str(file),), Place(str(file), ""), text)
    texts = {
        path: read_file(path, str(file), file, Place(str(file), written(path)), report)
        for path, file in files.items()
        if path not in taken
    }
    return Layer(_Texts(texts)(), lambda path: Place(str(files[_pair(path)]), written(path)))


def _secret_files(environ: Mapping[str, str], report: Report) -> list[Path]:
    configured = environ.get(SECRETS_DIR)
    files: dict[str, Path] = {}
    for folder in (Path(configured),) if configured else MOUNTED_SECRETS:
        try:
            files = {file.name: file for file in folder.iterdir()} | files
        except (OSError, ValueError):
            if configured:
                text = f"found {shown_path(configured)}: it cannot be read; allowed: a directory of files"
                report.add((SECRETS_DIR,), Place(ENVIRONMENT, SECRETS_DIR), text)
    return sorted(files.values())


def read_file(key: KeyPath, given: str, file: Path, place: Place, report: Report) -> str | None:
    """Read the value of *key* from *file*, which the operator wrote as *given*; None, and a report, if that fails."""
    private = key in CONFIDENTIAL
    try:
        return read_value(file, private=private)
    except ValueError as error:
        kept = " that other users cannot read" if private else ""
        report.add(key, place, f"found {shown_path(given)}: {error}; allowed: a file{kept}, with the value alone in it")
        return None


def _pair(path: KeyPath) -> tuple[str, str]:
    section, key = path
    return str(section), str(key)

"""The sources of settings. Each returns a layer: values by section and key, and the location of each value.

A source reads the files that it names. It skips a key that a source of higher precedence has set, so that a file that
is not needed may be missing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_settings import EnvSettingsSource

from collector.errors import did_you_mean
from collector.settings.problems import COMMAND_LINE, ENVIRONMENT, SourceLocation, key_text, quote_path
from collector.settings.schema import CONFIDENTIAL, SECTIONS, RawSettings
from collector.settings.values import MOUNTED_SECRETS, read_value

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from pydantic.fields import FieldInfo

    from collector.settings.problems import KeyPath, ProblemReport


_SWITCHES = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_WHOLE = re.compile(r"-?[0-9]{1,9}")


class SourceLayer(NamedTuple):
    """The values of one source: `location(("radar", "timeout"))` is the location of `values["radar"]["timeout"]`."""

    values: Mapping[str, Mapping[str, Any]]
    location: Callable[[KeyPath], SourceLocation]

    @property
    def paths(self) -> frozenset[KeyPath]:
        """Every key that the source sets."""
        return frozenset((section, key) for section, table in self.values.items() for key in table)


class _TextSource(EnvSettingsSource):
    """The environment source of pydantic-settings, reading the given texts instead of the environment."""

    def __init__(self, texts: Mapping[KeyPath, str | None]) -> None:
        self._texts = {f"collector_{section}__{key}": text for (section, key), text in texts.items() if text}
        super().__init__(RawSettings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._texts

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002 - as declared
        """Return a list as text, because the check of the section parses it."""
        return value

    def __call__(self) -> dict[str, Any]:
        return {
            section: {key: _toml_value(section, key, text) for key, text in table.items()}
            for section, table in super().__call__().items()
        }


def _toml_value(section: str, key: str, text: str) -> object:
    """Convert text to the type that TOML has; text that cannot be converted is rejected by the check of the section."""
    model = SECTIONS.get(section)
    value_type = model.model_fields[key].annotation if model and key in model.model_fields else str
    if value_type is bool:
        return _SWITCHES.get(text.lower(), text)
    return int(text) if value_type is int and _WHOLE.fullmatch(text) else text


def command_line(overrides: Mapping[str, object]) -> SourceLayer:
    """Return the layer of options such as `{"server.port": 8080}`; None means not given."""
    values: dict[str, dict[str, Any]] = {}
    for name, value in overrides.items():
        section, _, key = name.partition(".")
        if value is not None:
            typed = _toml_value(section, key, value) if isinstance(value, str) else value
            values.setdefault(section, {})[key] = typed
    return SourceLayer(values, lambda path: SourceLocation(COMMAND_LINE, key_text(path)))


def environment(environ: Mapping[str, str], report: ProblemReport) -> SourceLayer:
    """Return the layer of variables. An empty variable counts as not set; unknown variables are reported."""
    for name, text in unknown_variables(environ):
        report.add((name,), SourceLocation(ENVIRONMENT, name), text)
    names: dict[KeyPath, str] = {path: name for name, path in VARIABLES.items() if environ.get(name)}
    texts = {path: environ[name] for path, name in names.items()}
    return SourceLayer(_TextSource(texts)(), lambda path: SourceLocation(ENVIRONMENT, names[path]))


def variable_files(environ: Mapping[str, str], already_set: Container[KeyPath], report: ProblemReport) -> SourceLayer:
    """Return the layer of the files that the variables `…_FILE` name."""
    names: dict[KeyPath, str] = {
        path: f"{name}_FILE" for name, path in VARIABLES.items() if environ.get(f"{name}_FILE")
    }
    texts = {
        path: read_file(path, environ[name], Path(environ[name]), SourceLocation(ENVIRONMENT, name), report)
        for path, name in names.items()
        if path not in already_set
    }
    return SourceLayer(_TextSource(texts)(), lambda path: SourceLocation(ENVIRONMENT, names[path]))


def secrets_directory(
    environ: Mapping[str, str], already_set: Container[KeyPath], report: ProblemReport
) -> SourceLayer:
    """Return the layer of a directory of files that are named like variables, in upper or lower case."""
    files: dict[KeyPath, Path] = {}
    for file in _secret_files(environ, report):
        path = VARIABLES.get(file.name.upper())
        if path is not None:
            files[path] = file
        for _, text in unknown_variables({file.name.upper(): ""}):
            report.add((str(file),), SourceLocation(str(file), ""), text)
    texts = {
        path: read_file(path, str(file), file, SourceLocation(str(file), key_text(path)), report)
        for path, file in files.items()
        if path not in already_set
    }
    return SourceLayer(_TextSource(texts)(), lambda path: SourceLocation(str(files[path]), key_text(path)))


def _secret_files(environ: Mapping[str, str], report: ProblemReport) -> list[Path]:
    configured = environ.get(SECRETS_DIR)
    files: dict[str, Path] = {}
    for folder in (Path(configured),) if configured else MOUNTED_SECRETS:
        try:
            files = {file.name: file for file in folder.iterdir()} | files
        except (OSError, ValueError):
            if configured:
                text = f"found {quote_path(configured)}: it cannot be read; allowed: a directory of files"
                report.add((SECRETS_DIR,), SourceLocation(ENVIRONMENT, SECRETS_DIR), text)
    return sorted(files.values())


def read_file(key: KeyPath, spelling: str, file: Path, location: SourceLocation, report: ProblemReport) -> str | None:
    """Return the content of *file*, which the configuration spells *spelling*; report a failure and return None."""
    private = key in CONFIDENTIAL
    try:
        return read_value(file, private=private)
    except ValueError as error:
        condition = " that other users cannot read" if private else ""
        report.add(
            key,
            location,
            f"found {quote_path(spelling)}: {error}; allowed: a file{condition}, with only the value in it",
        )
        return None


PREFIX = "COLLECTOR_"
CONFIG = "COLLECTOR_CONFIG"
SECRETS_DIR = "COLLECTOR_SECRETS_DIR"

VARIABLES: Mapping[str, tuple[str, str]] = {
    "CLOUDFLARE_API_TOKEN": ("radar", "api_token"),
    "CLOUDFLARE_EMAIL": ("radar", "email"),
    "CLOUDFLARE_API_KEY": ("radar", "api_key"),
    **{
        f"{PREFIX}{section}__{key}".upper(): (section, key)
        for section, model in SECTIONS.items()
        for key in model.model_fields
    },
}
"""Every variable that sets a key; with the suffix `_FILE` it names a file. Of two for one key, the later one wins."""

_FOREIGN_PREFIXES = (
    "COLLECTOR_TEST_",
    "COLLECTOR_SIMULATE_",
)  # variables of the tests, and options of `collector simulate`
_SERVICE_LINK = re.compile(
    r"COLLECTOR_((?!.*__)\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)


def unknown_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (variable, problem) for each variable that starts with COLLECTOR_ and is unknown."""
    known = (CONFIG, SECRETS_DIR, *VARIABLES, *(f"{name}_FILE" for name in VARIABLES))
    for name, text in environ.items():
        upper = name.upper()
        if (
            name in known
            or not upper.startswith(PREFIX)
            or upper.startswith(_FOREIGN_PREFIXES)
            or _is_service_link(name, text)
        ):
            continue
        if upper.startswith(f"{PREFIX}PROFILE"):
            yield name, "profiles are not read from the environment; write [[profiles]] in the configuration file"
        else:
            yield name, f"unknown variable{did_you_mean(name, known)}; allowed: {PREFIX}<SECTION>__<KEY>"


def _is_service_link(name: str, text: str) -> bool:
    """Return whether Kubernetes has set the variable for a Service named `collector`, see `enableServiceLinks`."""
    return bool(_SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and text.startswith(("tcp://", "udp://")))

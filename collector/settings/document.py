"""The configuration file: finds it, reads it as TOML, and takes its tables as the lowest layer above the defaults."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.settings.files import NoSuchFile, read_configuration
from collector.settings.problems import ENVIRONMENT, SourceLocation, key_text, mask_tokens, quote, quote_path
from collector.settings.schema import FROM_FILE, NEVER_INLINE, PATHS, SECTIONS
from collector.settings.sources import CONFIG, SourceLayer, read_file
from collector.settings.toml_positions import find_lines, line_of
from collector.settings.validate import unknown

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from collector.settings.problems import KeyPath, ProblemReport

DEFAULT_FILES = ("config.toml", "/etc/collector/config.toml")
"""Where a configuration is looked for when none is named."""

_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")


@dataclass(frozen=True)
class Document:
    """A configuration file that was read; *name* is empty where there is none."""

    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def place(self, path: KeyPath) -> SourceLocation:
        """Tell where *path* stands; a value that was read from a file stands where that file is named."""
        *outer, key = path
        named = (*outer, f"{key}_file")
        if path not in self.lines and named in self.lines:
            path = named
        return SourceLocation(self.name, key_text(path), line_of(self.lines, path))


def read_document(config: str | None, environ: Mapping[str, str], report: ProblemReport, *, required: bool) -> Document:
    """Read the file that is named by *config* or the environment, else the first default file that exists."""
    explicit = config if config is not None else environ.get(CONFIG) or None
    for name in DEFAULT_FILES if explicit is None else (explicit,):
        try:
            return _parse(name, read_configuration(Path(name)), report)
        except NoSuchFile as error:
            if explicit is not None:
                _refuse(name, config, str(error), report)
        except ValueError as error:
            _refuse(name, config, str(error), report)
            return Document(name)
    if explicit is None and required:
        looked = f"looked for ${CONFIG}, {', '.join(DEFAULT_FILES)}"
        report.add(
            (), SourceLocation("configuration", ""), f"no file found ({looked}); write one with: collector config init"
        )
    return Document()


def _refuse(name: str, config: str | None, reason: str, report: ProblemReport) -> None:
    place = SourceLocation("command line", "--config") if config is not None else SourceLocation(ENVIRONMENT, CONFIG)
    if name in DEFAULT_FILES:
        place = SourceLocation(name, "")
    report.add((), place, f"found {quote_path(name)}: {reason}; allowed: a TOML file that this user can read")


def _parse(name: str, text: str, report: ProblemReport) -> Document:
    try:
        return Document(name, tomllib.loads(text), find_lines(text))
    except tomllib.TOMLDecodeError as error:
        found = _TOML_PLACE.search(str(error))
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        said = "a key that cannot stand here" if "@" in str(error) or "://" in str(error) else mask_tokens(str(error))
        report.add((), SourceLocation(name, "", line), f"not valid TOML: {said}")
    except RecursionError:
        report.add((), SourceLocation(name, ""), "nested too deeply")
    except ValueError:  # Python's limit on the digits of a number
        report.add((), SourceLocation(name, ""), "not valid TOML: a number with too many digits")
    return Document(name)


def read_tables(document: Document, already_set: Container[KeyPath], report: ProblemReport) -> SourceLayer:
    """Take every table but the profiles, with the values that stand in files of their own."""
    values: dict[str, dict[str, Any]] = {}
    for section, table in document.values.items():
        path = (section,)
        if section == "profiles":
            continue
        if section not in SECTIONS:
            report.add(path, document.place(path), unknown(section, (*SECTIONS, "profiles")))
        elif not isinstance(table, dict):
            report.add(path, document.place(path), f"found {quote(table)}; allowed: a table, [{section}]")
        else:
            values[section] = _without_secrets(section, table, document, report)
            values[section] = _with_files(section, values[section], document, already_set, report)
    return SourceLayer(values, document.place)


def _without_secrets(section: str, table: dict[str, Any], document: Document, report: ProblemReport) -> dict[str, Any]:
    for key in [key for key in table if (section, key) in NEVER_INLINE]:
        if isinstance(table[key], str):
            report.hide(table[key])
        text = f'a secret does not belong in this file; write it to a file of its own and set {key}_file = "FILE"'
        report.add((section, key), document.place((section, key)), text)
    return {key: value for key, value in table.items() if (section, key) not in NEVER_INLINE}


def _with_files(
    section: str, table: dict[str, Any], document: Document, already_set: Container[KeyPath], report: ProblemReport
) -> dict[str, Any]:
    """Replace each `KEY_file` with KEY and what that file holds; relative names start at the document's folder."""
    values = dict(table)
    for _, key in (path for path in PATHS if path[0] == section and isinstance(values.get(path[1]), str)):
        values[key] = str(Path(document.name).parent / values[key])
    for path in sorted(FROM_FILE):
        key, named = path[1], f"{path[1]}_file"
        if path[0] != section or named not in values:
            continue
        given, place = values.pop(named), document.place((section, named))
        if key in values:
            report.add(path, place, f"stands beside {section}.{key}; keep one of the two")
        elif not isinstance(given, str):
            report.add(path, place, f"found {quote(given)}; allowed: the path of a file")
        elif path not in already_set:
            text = read_file(path, given, Path(document.name).parent / given, place, report)
            values |= {} if text is None else {key: text}
    return values

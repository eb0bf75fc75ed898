"""Writes the generated blocks of the reference in `collector/docs/` from the code: `python -m collector.reference`.

`tests/test_reference.py` fails when a page is out of date.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from prometheus_client.parser import text_string_to_metric_families

from collector import docs
from collector.cli.commands.config import example
from collector.cli.main import command
from collector.datasets import DEFAULT
from collector.errors import CollectorError
from collector.serve.metrics import Metrics
from collector.settings.schema import SECTIONS, CollectionSection, ProfileSection, Section, allowed, toml_keys
from collector.settings.settings import Secret
from collector.settings.values import format_duration
from collector.store import NewestValue, NewestValues
from collector.store.db import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client.samples import Sample

FOLDER = Path(docs.__file__).parent
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_KEY = re.compile(r"(?:# )?([a-z0-9_]+) = ")
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def filled(text: str) -> str:
    """Return the page *text* with every generated block written anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block[2]]()}{block[3]}", text)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _pages() -> str:
    return _table(("page", "contents"), [(f"[{name}]({name}.md)", text) for name, text in docs.PAGES.items()])


def _settings() -> str:
    """Write the table of a profile, then one for each section."""
    meanings = _meanings(example())
    models: dict[str, type[Section]] = {"profiles": ProfileSection, **SECTIONS}
    return "\n".join(_section(name, model, meanings) for name, model in models.items())


def _section(name: str, model: type[Section], meanings: dict[tuple[str, str], str]) -> str:
    head = f"[[{name}]]" if name == "profiles" else f"[{name}]"
    keys = [key for key in toml_keys(model) if key not in {"filters", "each"}]
    for key in keys:
        if (name, key) not in meanings:
            raise CollectorError(f"config.example.toml has no {key} under [{name}] with a comment above it")
    rows = [(f"`{name}.{key}`", *_default_and_allowed(model, key), meanings[name, key]) for key in keys]
    return f"### `{head}`\n\n{_table(('key', 'default', 'allowed', 'meaning'), rows)}"


_PROFILE_DEFAULTS = {
    "name": "required",
    "agg_interval": "required",
    "enabled": "`true`",
    **dict.fromkeys(CollectionSection.model_fields, "that of `[collection]`"),
}
"""Defaults that the section itself does not have, because other sections or rules fill them in."""


def _default_and_allowed(model: type[Section], key: str) -> tuple[str, str]:
    if key not in model.model_fields:  # KEY_file
        return "none", "the path of a file"
    default = _PROFILE_DEFAULTS.get(key) if model is ProfileSection else None
    return default or _shown(model.model_fields[key].default), _escaped(allowed(model, key))


def _escaped(text: str) -> str:
    """Return *text* so that Markdown takes no `<` for HTML."""
    return text.replace("<", "&lt;")


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case timedelta():
            return f"`{format_duration(value)}`"
        case Secret():
            return f"`{value.reveal()}`"
        case _:
            return f"`{value}`"


def _meanings(text: str) -> dict[tuple[str, str], str]:
    """Read the comment above each key of the example configuration, by section and key."""
    meanings: dict[tuple[str, str], str] = {}
    section = ""
    comment: list[str] = []
    for line in text.splitlines():
        if head := re.match(r"#?\[+([a-z.]+)\]", line):
            section = head[1]
            comment = []
        elif key := _KEY.match(line):
            if comment:
                meanings.setdefault((section, key[1]), " ".join(comment).partition(" Allowed: ")[0])
            comment = []
        elif line.startswith("# "):
            comment.append(line.removeprefix("# ").strip())
        else:
            comment = []
    return meanings


def _filters() -> str:
    rows = [(f"`{parameter.option}`", _escaped(parameter.allowed)) for parameter in DEFAULT.filters.values()]
    return _table(("filter", "allowed"), rows)


def _commands() -> str:
    return "\n".join(_describe(command_, path) for path, command_ in commands(command))


def commands(
    group: click.Command, path: tuple[str, ...] = ("collector",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command of *group* with its path; a group is before its commands."""
    if isinstance(group, click.Group):
        context = click.Context(group, info_name=path[-1])
        for name in group.list_commands(context):
            command_ = group.get_command(context, name)
            assert command_ is not None
            yield (*path, name), command_
            yield from commands(command_, (*path, name))


def _describe(command_: click.Command, path: tuple[str, ...]) -> str:
    """Write usage, help and options of one command."""
    name = " ".join(path)
    context = click.Context(command_, info_name=name)
    usage = " ".join((name, *command_.collect_usage_pieces(context)))
    text, _, examples = inspect.cleandoc(command_.help or "").replace("\b\n", "").partition("Example: ")
    parts = [f"### `{name}`", text.strip(), f"```sh\n{usage}\n```"]
    if examples:
        lines = examples.replace("Example: ", "").strip()
        parts.append(f"For example:\n\n```sh\n{lines}\n```")
    records = [
        record
        for parameter in command_.params
        if (record := parameter.get_help_record(context)) and parameter.param_type_name == "option"
    ]
    rows = [(f"`{names}`", " ".join(meaning.split())) for names, meaning in records]
    return "\n\n".join(parts) + "\n" + (f"\n{_table(('option', 'meaning'), rows)}" if rows else "")


def _routes() -> str:
    """Write a table of the routes that `/openapi.json` describes, then one of their parameters."""
    description = json.loads(files("collector.serve").joinpath("openapi.json").read_text("utf-8"))
    shared = description["components"]["parameters"]
    rows, used = [], {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            used_here = [
                shared[parameter["$ref"].rpartition("/")[2]]
                for parameter in operation.get("parameters", [])
                if "$ref" in parameter
            ]
            used.update({(parameter["name"], parameter["description"]): parameter for parameter in used_here})
            names = ", ".join(f"`{parameter['name']}`" for parameter in used_here) or "none"
            rows.append((f"`{method.upper()} {path}`", operation["summary"], names))
    parameters = [
        (f"`{parameter['name']}`", _values(parameter["schema"]), parameter["description"])
        for parameter in used.values()
    ]
    routes = _table(("route", "gives", "parameters"), rows)
    return f"{routes}\n{_table(('parameter', 'values', 'meaning'), parameters)}"


def _values(schema: dict[str, Any]) -> str:
    if schema["type"] == "array":
        return f"text, up to {schema['maxItems']} times"
    if schema["type"] == "integer":
        default = f", `{schema['default']}` by default" if "default" in schema else ""
        return f"{schema['minimum']} to {schema['maximum']}{default}"
    return ", ".join(f"`{word}`" for word in schema.get("enum", ())) or "text"


_STATUS = {
    "profiles": [
        {
            "name": "all",
            "agg_interval": "1h",
            "state": "fresh",
            "healthy": True,
            "last_success": _NOON,
            "lag_seconds": 0,
            "gaps": 0,
            "upstream_gaps": 0,
            "unconfirmed": 0,
            "proof": {"proven": 0, "differing": 0, "not_comparable": 0},
            "clock_difference_seconds": 0,
        }
    ],
    "store": {"points": 0, "bytes": 0},
    "budget": {"limit": 600, "used": 0, "blocked_until": None},
}
"""The parts of a status document that the metrics use."""
_NEWEST = NewestValues([NewestValue("all", "all", "1h", "*", 0, 0.0)], 0)


def _metrics() -> str:
    text = Metrics().text(_STATUS, {"all": 5}, _NOON, _NEWEST).decode()
    rows = []
    for family in text_string_to_metric_families(text):
        samples = [sample for sample in family.samples if not sample.name.endswith("_bucket")]
        name = samples[0].name if family.type == "counter" else family.name
        rows.append((f"`{name}`", family.type, _labels(samples), family.documentation))
    return _table(("metric", "type", "labels", "meaning"), sorted(rows))


def _labels(samples: Sequence[Sample]) -> str:
    """Write the labels of one metric, with their values where the code decides on them."""
    values = {label: dict.fromkeys(sample.labels[label] for sample in samples) for label in samples[0].labels}
    free = {"profile", "version", "series", "agg_interval", "unit"}
    parts = [
        f"`{label}`" + ("" if label in free else f": {', '.join(values_)}") for label, values_ in sorted(values.items())
    ]
    return "; ".join(parts) or "none"


_TABLES = ("series", "points", "revisions", "fetches", "date_ranges", "annotations", "fires")
"""The tables that people may query; the others are internal."""


def _tables() -> str:
    tables = {name: getattr(schema, name) for name in _TABLES}
    rows = [(f"`{name}`", ", ".join(f"`{column.name}`" for column in table.columns)) for name, table in tables.items()]
    return _table(("table", "columns"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "pages": _pages,
    "settings": _settings,
    "filters": _filters,
    "commands": _commands,
    "routes": _routes,
    "metrics": _metrics,
    "tables": _tables,
}
"""The function that returns each generated block."""


def main() -> int:
    """Write every page whose generated blocks are out of date."""
    for name in ("README", *docs.PAGES):
        path = FOLDER / f"{name}.md"
        text = path.read_text("utf-8")
        if (new := filled(text)) != text:
            path.write_text(new, "utf-8")
            sys.stderr.write(f"{path} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The parts of a dashboard in Grafana's classic JSON model, which every version since 10 imports and provisions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Panel = dict[str, Any]

_SCHEMA_VERSION = 41
_GRID_COLUMNS = 24


def source_variable(kind: str) -> dict[str, Any]:
    """Return the variable `datasource`, which chooses among the data sources of one *kind*."""
    return {"type": "datasource", "name": "datasource", "label": "Data source", "query": kind}


def panel(  # noqa: PLR0913, PLR0917 - what every panel has, in the order of its JSON
    kind: str,
    title: str,
    targets: Sequence[Panel],
    unit: str,
    size: tuple[int, int],
    custom: Mapping[str, Any] | None = None,
) -> Panel:
    """Return a panel of *size*, which is its width in columns and its height. *custom* are options of its lines."""
    defaults = {"unit": unit, "custom": dict(custom)} if custom else {"unit": unit}
    return {
        "type": kind,
        "title": title,
        "targets": [{"refId": "A", **target} for target in targets],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "gridPos": {"w": size[0], "h": size[1]},
    }


def arranged(panels: Iterable[Panel], source: Panel) -> list[Panel]:
    """Place panels from left to right, row by row. Each reads from *source*."""
    placed, x, y, height = [], 0, 0, 0
    for number, each in enumerate(panels, 1):
        size = each["gridPos"]
        if x + size["w"] > _GRID_COLUMNS:
            x, y = 0, y + height
        placed.append({**each, "id": number, "datasource": source, "gridPos": {**size, "x": x, "y": y}})
        x, height = x + size["w"], size["h"]
    return placed


def dashboard(
    title: str,
    uid: str,
    panels: Sequence[Panel],
    variables: Sequence[Panel],
    annotations: Sequence[Panel] = (),
) -> str:
    """Return a dashboard as JSON, to be imported or provisioned."""
    document = {
        "title": title,
        "uid": uid,
        "tags": ["radar-collector"],
        "schemaVersion": _SCHEMA_VERSION,
        "timezone": "utc",
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": list(variables)},
        "annotations": {"list": list(annotations)},
        "panels": list(panels),
    }
    return json.dumps(document, indent=2) + "\n"

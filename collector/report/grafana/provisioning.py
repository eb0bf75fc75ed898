"""Files from which Grafana sets up data sources and dashboards when it starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from collector.report.grafana.history import DIALECTS, history_dashboard
from collector.report.grafana.metrics import metrics_dashboard

if TYPE_CHECKING:
    from pathlib import Path

    from collector.store.db.engine import Location

DEFAULT_PROMETHEUS = "http://127.0.0.1:9090"
PASSWORD = "COLLECTOR_GRAFANA_PASSWORD"  # noqa: S105 - the name of a variable
"""The environment variable in which Grafana finds the password of its database user. No file contains a password."""
_READER = "grafana"


def provisioning_files(location: Location, prometheus: str, folder: Path) -> dict[str, str]:
    """Return the content of each file by its path below *folder*, a folder like Grafana's `provisioning`.

    The data sources are the store at *location* and *prometheus*, the address of a Prometheus server.
    """
    name = "radar-collector"
    provider = {"name": name, "folder": "Radar", "type": "file", "options": {"path": _literal(folder / name)}}
    sources = [_store(location), _source("Radar metrics", "prometheus", url=_literal(prometheus))]
    return {
        f"datasources/{name}.yaml": _yaml({"datasources": sources}),
        f"dashboards/{name}.yaml": _yaml({"providers": [provider]}),
        f"{name}/history.json": history_dashboard(location.backend),
        f"{name}/metrics.json": metrics_dashboard(),
    }


def _store(location: Location) -> dict[str, Any]:
    kind = DIALECTS[location.backend].source
    if location.path is not None:
        # read-only, so that a mistaken statement changes nothing
        options = {"path": _literal(location.path), "pathPrefix": "file:", "pathOptions": "mode=ro"}
        return _source("Radar history", kind, jsonData=options)
    url = location.url
    host, port = url.host or str(url.query.get("host") or "localhost"), url.port or 5432
    options = {"database": _literal(url.database or ""), "sslmode": str(url.query.get("sslmode") or "prefer")}
    secret = {"password": f"${PASSWORD}"}
    return _source(
        "Radar history", kind, url=_literal(f"{host}:{port}"), user=_READER, jsonData=options, secureJsonData=secret
    )


def _source(name: str, kind: str, **properties: Any) -> dict[str, Any]:
    uid = name.lower().replace(" ", "-")
    return {"name": name, "uid": uid, "type": kind, "access": "proxy", **properties}


def _literal(value: object) -> str:
    """Write a text in which Grafana sees no environment variable."""
    return str(value).replace("$", "$$")


def _yaml(document: dict[str, Any]) -> str:
    """Write YAML (any JSON is YAML, too)."""
    return json.dumps({"apiVersion": 1, **document}, indent=2) + "\n"

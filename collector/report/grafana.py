"""Files for Grafana and Prometheus: a dashboard of the metrics, one of the stored history, and alert rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Panel = dict[str, Any]

_SCHEMA_VERSION = 41
_GRID_COLUMNS = 24


_QUANTILE = "histogram_quantile(0.95, sum by (le) (rate(collector_request_seconds_bucket[$__rate_interval])))"
_HISTORY = """\
SELECT timestamp AS time, series AS metric, value FROM history
WHERE $__timeFilter(timestamp) AND series IN (${series:sqlstring}) ORDER BY 1"""
_WEEK_EARLIER = """\
SELECT timestamp + interval '7 days' AS time, series || ', a week earlier' AS metric, value FROM history
WHERE timestamp BETWEEN $__timeFrom()::timestamptz - interval '7 days' AND $__timeTo()::timestamptz - interval '7 days'
AND series IN (${series:sqlstring}) ORDER BY 1"""
_REVISED = """\
SELECT r.timestamp, l.label AS series, r.value AS was, r.replaced_at FROM revisions r JOIN labels l USING (series_id)
WHERE $__timeFilter(r.timestamp) AND l.label IN (${series:sqlstring}) ORDER BY r.replaced_at DESC LIMIT 1000"""


def metrics_dashboard() -> str:
    """Return the dashboard of the Prometheus metrics as JSON, to be imported."""
    prometheus = {"type": "prometheus", "uid": "${datasource}"}
    panels = _arranged(
        [
            _stat("Requests left in 5 minutes", "collector_request_budget_remaining", "short"),
            _stat("Radar blocks for", "collector_upstream_blocked_seconds", "s"),
            _stat("Points", "collector_store_points", "short"),
            _stat("Store", "collector_store_bytes", "bytes"),
            _graph("Lag", "collector_lag_seconds", "{{profile}}", "s"),
            _graph("Since the last success", "time() - collector_last_success_timestamp_seconds", "{{profile}}", "s"),
            _graph("Missing buckets", "collector_gap_buckets", "{{profile}}", "short"),
            _graph("Buckets that Radar lacks", "collector_upstream_gap_buckets", "{{profile}}", "short"),
            _graph("Unconfirmed buckets", "collector_unconfirmed_buckets", "{{profile}}", "short"),
            _graph("Healthy profiles", "collector_healthy", "{{profile}}", "short"),
            _graph("Confidence level", "collector_confidence_level", "{{profile}}", "short"),
            _graph("Requests", _rate("collector_requests_total", "outcome"), "{{outcome}}", "reqps"),
            _graph("Seconds a request takes, 95 of 100", _QUANTILE, "", "s"),
            _graph("Points", _rate("collector_points_total", "change"), "{{change}}", "short"),
            _graph("Fires", "sum by (outcome) (increase(collector_fires_total[1h]))", "{{outcome}}", "short"),
        ],
        prometheus,
    )
    return _dashboard("Radar collector", "radar-collector", panels, [_source_variable("prometheus")])


def history_dashboard() -> str:
    """Return the dashboard of the history in Postgres as JSON, to be imported. It reads the view `history`."""
    postgres = {"type": "grafana-postgresql-datasource", "uid": "${datasource}"}
    panels = _arranged(
        [_sql("History", _HISTORY), _sql("A week earlier", _WEEK_EARLIER), _table("Revised", _REVISED)], postgres
    )
    series = {
        "type": "query",
        "name": "series",
        "label": "Series",
        "datasource": postgres,
        "query": "SELECT DISTINCT label FROM labels ORDER BY 1",
        "refresh": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }
    variables = [_source_variable("grafana-postgresql-datasource"), series]
    return _dashboard("Certificate transparency, from Cloudflare Radar", "radar-history", panels, variables)


_UNHEALTHY = "avg without (profile) (collector_healthy) < 0.5"
"""This counts profiles, not requests, because a failing profile sends the most requests."""
_LATE = "time() - collector_last_success_timestamp_seconds > 2 * collector_interval_seconds + 3600"
_NEVER_ANSWERED = "collector_interval_seconds unless collector_last_success_timestamp_seconds"
_BLOCKED = "max_over_time(collector_upstream_blocked_seconds[5m]) > 0"
_NO_ANSWER_FOR = "{{ $labels.profile }} has had no answer for {{ $value | humanizeDuration }}."
_GAPS_REMAIN = "{{ $labels.profile }} lacks {{ $value }} buckets, which healing has not filled for hours."
_NO_NEW_DATA = "Radar has no new data for {{ $labels.profile }}: it does not move on."
_REQUESTS_FAIL = "The requests for {{ $labels.profile }} fail; `collector fetches` says why."
_FEW_HEALTHY = "Only {{ $value | humanizePercentage }} of the profiles are healthy: Radar, the network or the token."
_NOT_ANSWERING = "Radar has refused or not answered for longer than a quarter of an hour."
_RULES = (
    ("Absent", "absent(collector_build_info)", "10m", "critical", "No collector is scraped."),
    ("Late", _LATE, "10m", "warning", _NO_ANSWER_FOR),
    ("NeverAnswered", _NEVER_ANSWERED, "30m", "warning", "{{ $labels.profile }} has never had an answer."),
    ("Gap", "collector_gap_buckets > 0", "6h", "warning", _GAPS_REMAIN),
    ("Stale", "collector_stale > 0", "10m", "warning", _NO_NEW_DATA),
    ("Failing", "collector_failing > 0", "30m", "warning", _REQUESTS_FAIL),
    ("Upstream", _UNHEALTHY, "15m", "critical", _FEW_HEALTHY),
    ("Blocked", _BLOCKED, "15m", "warning", _NOT_ANSWERING),
)
"""Name, expression, how long it must hold, severity and summary of each alert."""


def alert_rules() -> str:
    """Return Prometheus' alert rules as YAML (any JSON is YAML, too)."""
    rules = [
        {
            "alert": f"Collector{name}",
            "expr": expression,
            "for": duration,
            "labels": {"severity": severity},
            "annotations": {"summary": summary},
        }
        for name, expression, duration, severity, summary in _RULES
    ]
    return json.dumps({"groups": [{"name": "radar-collector", "rules": rules}]}, indent=2) + "\n"


def _rate(counter: str, by: str) -> str:
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


def _source_variable(kind: str) -> dict[str, Any]:
    return {"type": "datasource", "name": "datasource", "label": "Data source", "query": kind}


def _stat(title: str, expression: str, unit: str) -> Panel:
    return _panel("stat", title, [{"expr": expression, "instant": True}], unit, (6, 4))


def _graph(title: str, expression: str, legend: str, unit: str) -> Panel:
    return _panel("timeseries", title, [{"expr": expression, "legendFormat": legend or "__auto"}], unit, (12, 8))


def _sql(title: str, query: str) -> Panel:
    return _panel(
        "timeseries", title, [{"rawSql": query, "format": "time_series", "rawQuery": True}], "short", (24, 10)
    )


def _table(title: str, query: str) -> Panel:
    return _panel("table", title, [{"rawSql": query, "format": "table", "rawQuery": True}], "short", (24, 8))


def _panel(kind: str, title: str, targets: Sequence[Panel], unit: str, size: tuple[int, int]) -> Panel:
    return {
        "type": kind,
        "title": title,
        "targets": [{"refId": "A", **target} for target in targets],
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "gridPos": {"w": size[0], "h": size[1]},
    }


def _arranged(panels: Iterable[Panel], source: Panel) -> list[Panel]:
    """Place panels from left to right, row by row. Each reads from *source*."""
    arranged, x, y, height = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        size = panel["gridPos"]
        if x + size["w"] > _GRID_COLUMNS:
            x, y = 0, y + height
        arranged.append({**panel, "id": number, "datasource": source, "gridPos": {**size, "x": x, "y": y}})
        x, height = x + size["w"], size["h"]
    return arranged


def _dashboard(title: str, uid: str, panels: Sequence[Panel], variables: Sequence[Panel]) -> str:
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
        "panels": list(panels),
    }
    return json.dumps(document, indent=2) + "\n"

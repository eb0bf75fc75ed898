"""What Grafana and Prometheus import: a dashboard of the metrics, one of the stored history, alert rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Panel = dict[str, Any]

_SCHEMA = 41
_WIDTH = 24


def metrics_dashboard() -> str:
    """Write the dashboard of the Prometheus metrics, as JSON to import."""
    prometheus = {"type": "prometheus", "uid": "${datasource}"}
    panels = _laid(
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
    return _dashboard("Radar collector", "radar-collector", panels, [_source("prometheus")])


def history_dashboard() -> str:
    """Write the dashboard of the history in Postgres, read from the view `history`, as JSON to import."""
    postgres = {"type": "grafana-postgresql-datasource", "uid": "${datasource}"}
    panels = _laid(
        [_sql("History", _HISTORY), _sql("A week earlier", _WEEK_EARLIER), _table("Revised", _REVISED)], postgres
    )
    variable = {
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
    sources = [_source("grafana-postgresql-datasource"), variable]
    return _dashboard("Certificate transparency, from Cloudflare Radar", "radar-history", panels, sources)


def alert_rules() -> str:
    """Write Prometheus' alert rules, as YAML (JSON is YAML, too)."""
    rules = [
        _rule("Absent", "absent(collector_build_info)", "10m", "critical", "No collector is scraped."),
        _rule(
            "Late",
            "time() - collector_last_success_timestamp_seconds > 2 * collector_interval_seconds + 3600",
            "10m",
            "warning",
            "{{ $labels.profile }} has had no answer for {{ $value | humanizeDuration }}.",
        ),
        _rule(
            "NeverAnswered",
            "collector_interval_seconds unless collector_last_success_timestamp_seconds",
            "30m",
            "warning",
            "{{ $labels.profile }} has never had an answer.",
        ),
        _rule(
            "Gap",
            "collector_gap_buckets > 0",
            "6h",
            "warning",
            "{{ $labels.profile }} lacks {{ $value }} buckets, which healing has not filled for hours.",
        ),
        _rule(
            "Stale",
            "collector_stale > 0",
            "10m",
            "warning",
            "Radar has no new data for {{ $labels.profile }}: it does not move on.",
        ),
        _rule(
            "Failing",
            "collector_failing > 0",
            "30m",
            "warning",
            "The requests for {{ $labels.profile }} fail; `collector fetches` says why.",
        ),
        _rule(
            "Upstream",
            _UNHEALTHY,
            "15m",
            "critical",
            "Only {{ $value | humanizePercentage }} of the profiles are healthy: Radar, the network or the token.",
        ),
        _rule(
            "Blocked",
            "max_over_time(collector_upstream_blocked_seconds[5m]) > 0",
            "15m",
            "warning",
            "Radar has refused or not answered for longer than a quarter of an hour.",
        ),
    ]
    return json.dumps({"groups": [{"name": "radar-collector", "rules": rules}]}, indent=2) + "\n"


_UNHEALTHY = "avg without (profile) (collector_healthy) < 0.5"
"""Profiles are counted, not requests: a profile that fails is asked again most often."""
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


def _rate(counter: str, by: str) -> str:
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


def _rule(name: str, expression: str, lasting: str, severity: str, summary: str) -> dict[str, Any]:
    return {
        "alert": f"Collector{name}",
        "expr": expression,
        "for": lasting,
        "labels": {"severity": severity},
        "annotations": {"summary": summary},
    }


def _source(kind: str) -> dict[str, Any]:
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


def _laid(panels: Iterable[Panel], source: Panel) -> list[Panel]:
    """Lay panels out from left to right, row by row, each asking *source*."""
    laid, x, y, height = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        size = panel["gridPos"]
        if x + size["w"] > _WIDTH:
            x, y = 0, y + height
        laid.append({**panel, "id": number, "datasource": source, "gridPos": {**size, "x": x, "y": y}})
        x, height = x + size["w"], size["h"]
    return laid


def _dashboard(title: str, uid: str, panels: Sequence[Panel], variables: Sequence[Panel]) -> str:
    document = {
        "title": title,
        "uid": uid,
        "tags": ["radar-collector"],
        "schemaVersion": _SCHEMA,
        "timezone": "utc",
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": list(variables)},
        "panels": list(panels),
    }
    return json.dumps(document, indent=2) + "\n"

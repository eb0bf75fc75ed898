"""The dashboard of the metrics, and alert rules for Prometheus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from collector.report.grafana.panels import arranged, dashboard, panel, source_variable

if TYPE_CHECKING:
    from collector.report.grafana.panels import Panel

_QUANTILE = "histogram_quantile(0.95, sum by (le) (rate(collector_request_seconds_bucket[$__rate_interval])))"


def metrics_dashboard() -> str:
    """Return the dashboard of the Prometheus metrics as JSON, to be imported."""
    prometheus = {"type": "prometheus", "uid": "${datasource}"}
    panels = arranged(
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
    return dashboard("Radar collector", "radar-collector", panels, [source_variable("prometheus")])


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


def _stat(title: str, expression: str, unit: str) -> Panel:
    return panel("stat", title, [{"expr": expression, "instant": True}], unit, (6, 4))


def _graph(title: str, expression: str, legend: str, unit: str) -> Panel:
    return panel("timeseries", title, [{"expr": expression, "legendFormat": legend or "__auto"}], unit, (12, 8))

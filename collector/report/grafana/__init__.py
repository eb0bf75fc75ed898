"""Files for Grafana and Prometheus: dashboards of the metrics and of the stored history, alert rules, provisioning."""

from collector.report.grafana.history import history_dashboard
from collector.report.grafana.metrics import alert_rules, metrics_dashboard
from collector.report.grafana.provisioning import DEFAULT_PROMETHEUS, provisioning_files

__all__ = ["DEFAULT_PROMETHEUS", "alert_rules", "history_dashboard", "metrics_dashboard", "provisioning_files"]

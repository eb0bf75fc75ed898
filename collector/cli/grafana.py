"""`collector grafana`: files for Grafana and Prometheus to import."""

from __future__ import annotations

import click

_WHAT = ("dashboard", "postgres", "alerts")


@click.command("grafana")
@click.argument("what", type=click.Choice(_WHAT), metavar="|".join(_WHAT))
def command(what: str) -> None:
    """Print a file to import: a dashboard of the metrics, one of the history in Postgres, or alert rules.

    \b
    Example: collector grafana dashboard > radar.json
    Example: collector grafana alerts > /etc/prometheus/rules/radar.yml
    """
    from collector.serve import grafana

    writers = {
        "dashboard": grafana.metrics_dashboard,
        "postgres": grafana.history_dashboard,
        "alerts": grafana.alert_rules,
    }
    click.echo(writers[what](), nl=False)

"""`collector plot` and `collector grafana`: charts, and files for Grafana and Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.bootstrap import TIME, config_option, load_settings, period_options, series_option
from collector.cli.words import words_options

if TYPE_CHECKING:
    from datetime import datetime

    from collector.report.plot.chart import Chart, ChartOptions
    from collector.settings import Settings


@click.command("plot")
@click.argument("profile")
@series_option
@period_options
@words_options("per", "share", "of", "within", "top", "compare", "growth", "cumulative", "mean")
@click.option("--as-of", type=TIME, metavar="T", help="Draw the values that were known at T. Default: now.")
@click.option("--policy", is_flag=True, help="Mark the dates of policies for public certificates, too.")
@click.option("--log", is_flag=True, help="Use a logarithmic axis, for series of very different size.")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    help="Write a picture to FILE, which ends in .png or .svg; needs the extra `plot`. Default: the terminal.",
)
@config_option
def plot_command(
    profile: str,
    series: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    target: str | None,
    config: str | None,
    *,
    log: bool,
    policy: bool,
    **values: Any,
) -> None:
    """Draw the history of PROFILE in the terminal, or as a picture. Default range: the newest days, months or years.

    Gaps stay open. Annotations, marks and values that may still be revised are marked. All times are UTC.

    \b
    Example: collector plot by-owner --start 30d -o owners.png
    Example: collector plot by-owner --per month --share --top 5
    """
    import asyncio

    from collector.cli.bootstrap import load_settings
    from collector.cli.output import say
    from collector.cli.words import read_words
    from collector.report.plot.chart import ChartOptions

    kind = _image_kind(target) if target else None
    settings = load_settings(config, required=False)
    options = ChartOptions(read_words(values), as_of, policy, series)
    chart = asyncio.run(_read_chart(settings, profile, (start, end), options))
    if target and kind:
        _write_image(chart, target, kind, log=log)
        for note in chart.notes:
            say(note)
    else:
        _print_chart(chart, log=log)


def _image_kind(target: str) -> str:
    from collector.report.plot.image import KINDS

    kind = target.rpartition(".")[2].lower()
    if kind not in KINDS:
        raise click.BadParameter(f"{target!r} does not end in .{' or .'.join(KINDS)}", param_hint="-o")
    return kind


async def _read_chart(
    settings: Settings, profile: str, period: tuple[datetime | None, datetime | None], options: ChartOptions
) -> Chart:
    from collector.cli.output import check_profile, check_series
    from collector.report.plot.chart import read_chart
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        await check_profile(store, profile)
        await check_series(store, [profile], options.series)
        names = {profile, *(renamed.new_profile for renamed in await store.renamed([profile]))}
        settled = (configured.settle for configured in settings.profiles if configured.name in names)
        settle = max(settled, default=settings.collection.settle)
        return await read_chart(store, profile, *period, settle, options)


def _write_image(chart: Chart, target: str, kind: str, *, log: bool) -> None:
    from collector.cli.atomic_file import open_output
    from collector.report.plot.image import render

    drawn = render(chart, kind, log=log)
    with open_output(target) as stream:
        stream.write(drawn)
    click.echo(f"{target}: {sum(len(line.values) for line in chart.lines):,} points", err=True)


def _print_chart(chart: Chart, *, log: bool) -> None:
    import os
    import shutil
    import sys

    from collector.report.plot.terminal import TerminalStyle, render

    size = shutil.get_terminal_size(fallback=(100, 36))
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(render(chart, TerminalStyle(size.columns, size.lines, colour, log)), nl=False, color=colour)


_FILES = ("dashboard", "postgres", "sqlite", "alerts", "provisioning")


@click.command("grafana")
@click.argument("what", type=click.Choice(_FILES), metavar="|".join(_FILES))
@click.option("-o", "--output", "folder", metavar="FOLDER", help="With provisioning: the folder to write to.")
@click.option(
    "--prometheus", metavar="URL", help="With provisioning: the Prometheus server. Default: http://127.0.0.1:9090."
)
@config_option
def grafana_command(what: str, folder: str | None, prometheus: str | None, config: str | None) -> None:
    """Print a file to import: a Grafana dashboard of the metrics or of a store, or Prometheus alert rules.

    `provisioning` writes data sources and dashboards to FOLDER, from which Grafana sets itself up.

    \b
    Example: collector grafana dashboard > radar.json
    Example: collector grafana alerts > /etc/prometheus/rules/radar.yml
    Example: collector grafana provisioning -o /etc/grafana/provisioning
    """
    from collector.report import grafana

    if what == "provisioning":
        _write_provisioning(folder, prometheus, config)
        return
    if folder is not None or prometheus is not None:
        raise click.UsageError("-o and --prometheus are only for `collector grafana provisioning`.")
    writers = {
        "dashboard": grafana.metrics_dashboard,
        "postgres": lambda: grafana.history_dashboard("postgresql"),
        "sqlite": lambda: grafana.history_dashboard("sqlite"),
        "alerts": grafana.alert_rules,
    }
    click.echo(writers[what](), nl=False)


def _write_provisioning(target: str | None, prometheus: str | None, config: str | None) -> None:
    """Write the files one by one; each appears complete or not at all."""
    from pathlib import Path

    from collector.cli.atomic_file import open_output
    from collector.errors import cannot_write
    from collector.report.grafana import DEFAULT_PROMETHEUS, provisioning_files
    from collector.store.db.engine import locate

    if target is None:
        raise click.UsageError("Missing option '-o FOLDER', such as /etc/grafana/provisioning.")
    folder, location = Path(target).resolve(), locate(load_settings(config).database.url.reveal())
    for name, text in provisioning_files(location, prometheus or DEFAULT_PROMETHEUS, folder).items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(str(path.parent), error) from None
        with open_output(str(path)) as stream:
            stream.write(text.encode())
        click.echo(f"{path} written", err=True)

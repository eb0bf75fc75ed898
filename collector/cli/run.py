"""`collector run`: the service."""

from __future__ import annotations

import click

from collector.cli.options import config_option


@click.command("run")
@config_option
def command(config: str | None) -> None:
    """Be the service: scheduler, fetcher, healing and HTTP server, until SIGTERM.

    SIGHUP reads the configuration anew; a bad one keeps the old. One that comes while the service starts is not lost.

    \b
    Example: collector run --config /etc/collector/config.toml
    """
    from collector.cli import signals

    signals.serve()

    import asyncio

    from collector.cli.start import asking, start
    from collector.collect.daemon import run

    signals.is_told_to_reload()  # the configuration is read now anyway
    settings = start(config)
    asyncio.run(run(asking(settings), lambda: asking(start(config)), told_before=signals))

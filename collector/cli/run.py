"""`collector run`: the service."""

from __future__ import annotations

import click

from collector.cli.options import config_option


@click.command("run")
@config_option
def command(config: str | None) -> None:
    """Be the service: scheduler, fetcher, healing and HTTP server, until SIGTERM.

    SIGHUP reads the configuration anew; a bad one keeps the old.

    \b
    Example: collector run --config /etc/collector/config.toml
    """
    import signal
    import sys

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the service listens itself

    import asyncio

    from collector.cli.start import asking, start
    from collector.collect.daemon import run

    settings = start(config)
    asyncio.run(run(asking(settings), lambda: asking(start(config))))

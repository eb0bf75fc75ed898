"""`collector healthcheck`: whether the running daemon is ready."""

from __future__ import annotations

import http.client
import json

import click

from collector.cli.options import config_option
from collector.errors import UsageError, system_words
from collector.text import printable

_TIMEOUT = 5.0
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not bound


@click.command("healthcheck")
@config_option
@click.pass_context
def command(ctx: click.Context, config: str | None) -> None:
    """Exit 0 when the running daemon is ready, 1 with the reasons when it is not.

    \b
    Example: collector healthcheck && echo ready
    """
    from collector.cli.start import start

    server = start(config, required=False).server
    if not server.enabled:
        raise UsageError("server.enabled is false, so there is nothing to ask; `collector status` reads the store")
    reasons = _ask(_WILDCARDS.get(server.host, server.host), server.port)
    for reason in reasons:
        click.echo(f"not ready: {printable(reason)}", err=True)
    if not reasons:
        click.echo("ready")
    ctx.exit(1 if reasons else 0)


def _ask(host: str, port: int) -> list[str]:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        answer = json.loads(connection.getresponse().read(65_536))
        return [] if answer["ready"] else [str(reason) for reason in answer["reasons"]]
    except (OSError, http.client.HTTPException) as error:
        return [f"no answer from {host}:{port}: {system_words(error) if isinstance(error, OSError) else error}"]
    except (ValueError, KeyError, TypeError):
        return [f"what answers at {host}:{port} is not the collector"]
    finally:
        connection.close()

"""`collector docs`: the reference."""

from __future__ import annotations

import click

from collector import docs


@click.command("docs")
@click.argument("page", type=click.Choice([*docs.PAGES]), metavar="[PAGE]", required=False)
def docs_command(page: str | None) -> None:
    """Print the reference as Markdown: settings, commands, routes, metrics, the store, and how it behaves.

    PAGE is settings, commands, http, metrics, store, service, behaviour or probe; all pages by default. The service
    serves the same pages at /docs.

    \b
    Example: collector docs settings
    """
    click.echo(docs.page(page) if page else docs.whole(), nl=False)

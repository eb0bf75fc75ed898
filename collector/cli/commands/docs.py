"""`collector docs`: the reference."""

from __future__ import annotations

import click

from collector import docs


@click.command("docs")
@click.argument("page", type=click.Choice([*docs.PAGES]), required=False)
def docs_command(page: str | None) -> None:
    """Print one page of the reference as Markdown, or all pages. The service serves the same pages at /docs.

    \b
    Example: collector docs settings
    """
    click.echo(docs.page(page) if page else docs.whole(), nl=False)

"""`collector proof`: the sums of groups compared with the totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.bootstrap import config_option, period_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.report.proof import ProofRow
    from collector.settings import Settings


@click.command("proof")
@click.argument("profile", metavar="[PROFILE]", required=False)
@period_options
@config_option
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Print a table, or JSON or CSV for programs.",
)
def proof_command(
    profile: str | None, start: datetime | None, end: datetime | None, config: str | None, output: str
) -> None:
    """Compare the groups of a dimension with the total: per bucket whether it is proven, or by how much it differs.

    The total comes from a series with the same interval and filters and no dimension. Both values must be final. The
    difference is the sum of the groups, and of what is left beside them, less the total. Nothing is adjusted.

    \b
    Example: collector proof owners --start 30d
    """
    import asyncio
    from dataclasses import asdict

    from collector.cli.bootstrap import load_settings
    from collector.cli.output import say, show
    from collector.report.proof import NO_TOTAL

    settings = load_settings(config)
    rows = asyncio.run(_read(settings, profile, start, end))
    documents = [asdict(row) for row in rows]
    if output == "csv":
        _print_csv(documents)
    else:
        show(documents if output == "json" else [_columns(row) for row in documents], output)
    for label in dict.fromkeys(row.series for row in rows if row.reason == NO_TOTAL):
        say(f"{label}: no total is collected; add a profile with the same agg_interval and filters, and no dimension")


async def _read(
    settings: Settings, name: str | None, start: datetime | None, end: datetime | None
) -> Sequence[ProofRow]:
    from collector.cli.bootstrap import select_profiles
    from collector.errors import UsageError
    from collector.report.proof import list_proof
    from collector.store import Store

    chosen = select_profiles(settings.profiles, [name] if name else [])
    if not any(profile.dimension for profile in chosen):
        which = f"the profile {name!r} has" if name else "no profile has"
        raise UsageError(f"{which} {'no' if name else 'a'} dimension, so there are no groups to compare with a total")
    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        return await list_proof(store, chosen, start, end)


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    from collector.report.proof import REASONS

    kept = ("series", "dimension", "start", "end", "buckets", "state", "difference", "reread_at")
    reason = f"{row['reason']}: {REASONS[row['reason']]}" if row["reason"] else None
    return {name: row[name] for name in kept} | {"reason": reason}


def _print_csv(rows: Sequence[dict[str, Any]]) -> None:
    import csv
    import sys
    from datetime import datetime

    from collector.report.proof import ProofRow
    from collector.timestamps import rfc3339

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(ProofRow.__dataclass_fields__)
    for row in rows:
        writer.writerow(rfc3339(value) if isinstance(value, datetime) else value for value in row.values())

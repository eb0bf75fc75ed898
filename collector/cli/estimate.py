"""What a backfill would cost: `collector backfill --dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.collect.backfill import Estimate
    from collector.profile import Profile
    from collector.settings import Settings
    from collector.store import Store, Wanted


async def estimate(settings: Settings, profiles: Sequence[Profile], wanted: Wanted) -> Estimate:
    """Plan against the store as it is; where there is none yet, against an empty one that is thrown away."""
    import tempfile
    from pathlib import Path

    from collector import logs
    from collector.settings.urls import sqlite_url
    from collector.store import Store, StoreMissing

    try:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            return await _plan(settings, profiles, wanted, store)
    except StoreMissing:
        logs.quiet("collector.store.migrate")  # nothing of the operator's is migrated
        with tempfile.TemporaryDirectory() as folder:
            async with Store.open(sqlite_url(Path(folder) / "empty.db"), owner="backfill --dry-run") as store:
                return await _plan(settings, profiles, wanted, store)


async def _plan(settings: Settings, profiles: Sequence[Profile], wanted: Wanted, store: Store) -> Estimate:
    import asyncio

    from collector.collect.backfill import estimate as cost_of
    from collector.collect.backfill import unanswered
    from collector.collect.fetch import Fetcher
    from collector.collect.gather import Gatherer
    from collector.model import utc_now
    from collector.radar.client import RadarClient

    limit, now = settings.radar.requests_per_5min, utc_now()
    fetcher = Fetcher(RadarClient(settings.radar), store, limit=limit, stop=asyncio.Event())
    gatherer = Gatherer(fetcher, settings.radar.concurrency)
    return await cost_of(await unanswered(profiles, wanted, now, gatherer, now), gatherer, limit)


def show_estimate(cost: Estimate, settings: Settings, output: str) -> None:
    """Print what a backfill would cost."""
    from dataclasses import asdict

    from collector.cli.output import show_json

    if output == "json":
        show_json(asdict(cost))
        return
    click.echo(f"windows   {cost.windows:,}")
    click.echo(f"requests  {cost.requests:,}  (as far as Radar's limits are known)")
    click.echo(f"points    {cost.points:,}  (at most)")
    click.echo(f"minutes   {cost.minutes:.1f}  (at {settings.radar.requests_per_5min} requests in 5 minutes)")

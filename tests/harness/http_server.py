"""The HTTP server of the daemon over a store with a day of history."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import sqlalchemy as sa

from collector.daemon import Daemon
from collector.model import Annotation
from collector.radar.errors import Unavailable
from collector.serve.app import make_app, serving
from collector.settings import Secret, load
from collector.store import Store
from collector.store.db.schema import absences, profile_series
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, saved, start_fetch

CONFIG = """
[radar]
base_url = "http://127.0.0.1:9/client/v4"
[database]
url = "{url}"
[[profiles]]
name = "all"
agg_interval = "1h"
since = 2026-04-30
lookback = "2h"
settle = "2h"
[[profiles]]
name = "by"
agg_interval = "1h"
[profiles.each]
ca_owner = ["A", "B, Inc."]
"""
SERVER_TOKEN = "server-token-0123456789"
ANNOTATION = Annotation(
    DAY, DAY + 3 * HOUR, "CT", "OUTAGE", "<b>down</b>", "javascript:alert(1)", is_instantaneous=False
)


@dataclass
class ServedStore:
    service: Daemon
    store: Store
    session: aiohttp.ClientSession
    url: str

    async def get(self, path: str, status: int = 200, **headers: str) -> Any:
        async with self.session.get(self.url + path, headers=headers) as answer:
            assert answer.status == status, (path, answer.status, await answer.text())
            return await answer.json()

    async def all_of(self, path: str, name: str) -> list[Any]:
        """Follow the pages of a list to its end."""
        rows, after = [], ""
        while True:
            document = await self.get(path + after)
            rows += document[name]
            if document["next"] is None:
                return rows
            after = f"&after={document['next']}"


@asynccontextmanager
async def served(url, folder, token=None, write_token=None, clock=lambda: NOW, **options):
    path = folder / "config.toml"
    path.write_text(CONFIG.format(url=url))
    settings = load(str(path), environ={"CLOUDFLARE_API_TOKEN": "t" * 20})
    tokens = [Secret(text) if text else None for text in (token, write_token)]
    async with Store.open(url, owner="run") as store, aiohttp.ClientSession() as session:
        service = Daemon(settings, store, lambda: settings, clock)
        await store.activate_labels(settings.profiles, NOW)
        app = make_app(service, "127.0.0.1", tokens[0], write_token=tokens[1], **options)
        async with serving(app, "127.0.0.1", 0) as address:
            yield ServedStore(service, store, session, address)


async def prove_gap(store, window, asked_at):
    """Put on record what a second answer, about *window* of `all` alone, leaves there."""

    def work(connection):
        select = sa.select(profile_series.c.series_id).where(profile_series.c.label == "all")
        series_id = connection.execute(select).scalar_one()
        row = {"start": window.start, "end": window.end, "window_start": window.start, "window_end": window.end}
        number = (connection.execute(sa.select(sa.func.count()).select_from(absences))).scalar_one()
        row |= {"series_id": series_id, "fetch_id": 1_000 + number, "asked_at": asked_at, "told_at": asked_at}
        connection.execute(sa.insert(absences).values(row))

    await store._database.write(work)


async def fill(server):
    """A day of three series, of `all` without the hours 4 and 5; two values of `by/A` revised; one failed request.

    That Radar lacks the two hours is proven by a second answer.
    """
    (every, by) = server.service.profiles
    one, other = (series.query for series in by.series)
    day = hours(0, 24)
    some = {h: h * 10 for h in range(24) if h not in (4, 5)}
    asked = batch((every.series[0].query, day), (one, day), (other, day))
    values = [some, [float(h) for h in range(24)], [h + 0.5 for h in range(24)]]
    updated = DAY + 24 * HOUR
    await saved(server.store, asked, *values, profiles=("all", "by"), updated=updated, annotations=(ANNOTATION,))
    again = batch((one, hours(2, 4)))
    later = NOW + timedelta(minutes=1)
    await saved(server.store, again, [20, 30], now=later, profiles=("by",), updated=updated + HOUR)
    await prove_gap(server.store, hours(4, 6), NOW + timedelta(days=2))
    failed = await start_fetch(server.store, again, later, ("by",))
    await server.store.fail(failed, Unavailable("no answer: <script>"), later)

"""The local HTTP server: alive and ready, history, dashboard, metrics, and the daemon's jobs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from collector.serve import api, backfills, dashboard, docs, metrics, upkeep
from collector.serve.backfills import Jobs
from collector.serve.connections import Connections, attended
from collector.serve.crowd import crowd
from collector.serve.failures import begin, failures
from collector.serve.guard import guard
from collector.serve.headers import secure
from collector.serve.hosts import named
from collector.serve.radar_api import RadarApi
from collector.serve.standing import Standing
from collector.serve.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiohttp.typedefs import Handler

    from collector.serve.metrics import Metrics
    from collector.serve.radar_api.routes import Fill
    from collector.settings import Secret


class Service(Jobs, Upkeep, Protocol):
    """What the server asks of the daemon."""

    @property
    def requests_per_5min(self) -> int:
        """The request budget."""

    @property
    def simulator(self) -> str | None:
        """The address of the simulator that stands in for Radar, None if Radar is asked."""

    @property
    def metrics(self) -> Metrics:
        """What was counted."""

    async def unready(self) -> list[str]:
        """Why the service is not ready, one sentence each; empty when it is."""


def make_app(  # noqa: PLR0913 - all but three are keywords
    service: Service,
    host: str,
    token: Secret | None = None,
    *,
    hosts: Iterable[str] = (),
    changing: Secret | None = None,
    fill: Fill | None = None,
) -> web.Application:
    """Build the application; only requests whose Host names *host*, one of *hosts* or the loopback are answered.

    *token* is what a caller must show who reads data, *changing* who changes something; None: nothing. *fill* asks
    Radar for what a question needs and history lacks; None: it is not asked.
    """
    order = [failures, attended, named(host, hosts), guard(token, changing or token), crowd()]
    app = web.Application(middlewares=order, client_max_size=65_536)
    app.on_response_prepare.extend([begin, secure])
    app.router.add_get("/healthz", _alive)
    app.router.add_get("/readyz", _readyz(service))
    backfills.add_routes(app, service)
    upkeep.add_routes(app, service)
    RadarApi(service, token, fill).add_to(app)
    standing = Standing(service)
    api.add_routes(app, service, standing)
    metrics.add_routes(app, service, standing, service.metrics)
    dashboard.add_routes(app, service.simulator)
    docs.add_routes(app)
    return app


async def _alive(_request: web.Request) -> web.Response:
    return web.json_response({"alive": True})


def _readyz(service: Service) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        reasons = await service.unready()
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=status)

    return answer


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve *app* while the context is open; gives its address. OSError where the port cannot be had."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2)
    await runner.setup()
    assert runner.server is not None
    connections = Connections(runner.server)
    try:
        listening = await asyncio.get_running_loop().create_server(connections, host, port, backlog=128)
        bound = listening.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        try:
            yield f"http://{shown}:{bound[1]}"
        finally:
            listening.close()
    finally:
        connections.close()
        await runner.cleanup()

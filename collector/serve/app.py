"""The HTTP server: its routes, middlewares and address."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from collector.serve import api, dashboard, docs, metrics
from collector.serve.connections import ConnectionLimiter, track_connection
from collector.serve.middleware import (
    BASE_PATH,
    handle_errors,
    limit_concurrency,
    prepare_response,
    restrict_access,
)
from collector.serve.radar_api import RadarApi
from collector.serve.read_slots import MAX_ALL_READS, MAX_READS, ReadSlots
from collector.serve.service import StatusCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiohttp.typedefs import Handler

    from collector.serve.radar_api.routes import Fill
    from collector.serve.service import ServiceApi
    from collector.settings import Secret


def make_app(  # noqa: PLR0913 - all but three are keywords
    service: ServiceApi,
    host: str,
    token: Secret | None = None,
    *,
    hosts: Iterable[str] = (),
    base_path: str = "",
    metrics_values: bool = False,
    write_token: Secret | None = None,
    fill: Fill | None = None,
) -> web.Application:
    """Return the application. It answers only requests whose Host is *host*, one of *hosts* or the loopback.

    To read data needs *token*, to change something *write_token*; None: no token is needed. *fill* requests from Radar
    what the history lacks for a query; None: nothing is requested. All paths begin with *base_path*, and those of the
    health checks are also served without it. *metrics_values* adds the newest value of each series to `/metrics`.
    """
    access = restrict_access(host, hosts, read_token=token, write_token=write_token or token)
    slots = ReadSlots(MAX_ALL_READS, MAX_READS)
    middlewares = [handle_errors, track_connection, access, limit_concurrency(slots)]
    app = web.Application(middlewares=middlewares, client_max_size=65_536)
    app.on_response_prepare.append(prepare_response)
    app[BASE_PATH] = base_path
    _add_health_checks(app, service)
    routes = web.Application() if base_path else app
    RadarApi(service, fill, slots).add_to(routes)
    status_cache = StatusCache(service)
    api.add_routes(routes, service, status_cache, base_path)
    metrics.add_routes(routes, service, status_cache, values=metrics_values)
    dashboard.add_routes(routes, service.simulator)
    docs.add_routes(routes, base_path)
    if base_path:
        _add_health_checks(routes, service)
        app.router.add_get(base_path, _to_the_page(base_path))
        app.add_subapp(base_path, routes)
    return app


def _add_health_checks(app: web.Application, service: ServiceApi) -> None:
    app.router.add_get("/healthz", _alive)
    app.router.add_get("/readyz", _readyz(service))


def _to_the_page(base_path: str) -> Handler:
    """Send a browser from the base path to the page, whose links are relative to it."""

    async def redirect(_request: web.Request) -> web.Response:
        return web.Response(status=HTTPStatus.PERMANENT_REDIRECT, headers={"Location": f"{base_path}/"})

    return redirect


async def _alive(_request: web.Request) -> web.Response:
    return web.json_response({"alive": True})


def _readyz(service: ServiceApi) -> Handler:
    async def handle(_request: web.Request) -> web.Response:
        reasons = await service.unready()
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=status)

    return handle


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve *app* while the context is open, and yield its address. Raises OSError if it cannot bind the port."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2)
    await runner.setup()
    assert runner.server is not None
    connections = ConnectionLimiter(runner.server)
    try:
        tcp_server = await asyncio.get_running_loop().create_server(connections, host, port, backlog=128)
        bound = tcp_server.sockets[0].getsockname()
        host_text = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        try:
            yield f"http://{host_text}:{bound[1]}"
        finally:
            tcp_server.close()
    finally:
        connections.close()
        await runner.cleanup()

"""Serves a simulator on a port of this machine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from collector.radar.simulator.simulator import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from collector.radar.simulator.simulator import Simulator

_LINE = 1 << 20  # the simulator itself says which URL is too long


@asynccontextmanager
async def serve(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve *simulator* and give the base URL; port 0 takes a free one. Open requests are cut off at the end."""
    runner = web.AppRunner(
        simulator.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1, max_line_size=_LINE
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        address = runner.addresses[0]
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        yield f"http://{shown}:{address[1]}{BASE_PATH}"
    finally:
        await runner.cleanup()

"""A process that serves bodies rendered before it says where it listens, and counts the requests for them."""

import asyncio
import sys
from urllib.parse import parse_qsl

from aiohttp import web

from tests.bench.workload import Size, bodies

PATH = "/client/v4/radar/ct/timeseries"
COUNT = "/requests"


def _parameters(query: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(parse_qsl(query)))


async def serve(size: Size, positions: list[int]) -> None:
    """Render, listen, print the address, and go on until standard input ends."""
    rendered = {query: body for number in positions for query, body in bodies(size, number)}
    by_parameters = {
        _parameters(query): body for query, body in rendered.items()
    }  # clients differ in order and escapes
    received = 0

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal received
        if request.path == COUNT:
            return web.Response(text=str(received))
        received += 1
        path, _, query = request.raw_path.partition("?")
        body = rendered.get(query) or by_parameters.get(_parameters(query))
        if path != PATH or body is None:
            return web.Response(status=404)
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Size(int(sys.argv[1]), int(sys.argv[2])), [int(number) for number in sys.argv[3:]]))

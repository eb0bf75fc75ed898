"""A process that answers any request about the series of `growth`, with values that do not depend on the request."""

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs

from aiohttp import web

from collector.radar.request import SLOT
from collector.timestamps import rfc3339
from tests.bench.growth_store import QUARTER, value


def body(query: str) -> bytes:
    """Render the answer to a query string; lastUpdated is the end of the newest window."""
    asked = parse_qs(query)
    windows = [*zip(map(_moment, asked["dateStart"]), _ends(asked), strict=True)]
    meta = {
        "aggInterval": QUARTER.name,
        "confidenceInfo": {"level": 5, "annotations": []},
        "dateRange": [{"startTime": rfc3339(start), "endTime": rfc3339(end)} for start, end in windows],
        "lastUpdated": rfc3339(max(end for _, end in windows)),
        "normalization": "RAW_VALUES",
        "units": [{"name": "*", "value": "certificates"}],
    }
    result: dict[str, object] = {"meta": meta}
    for position, (owner, (start, end)) in enumerate(zip(asked["caOwner"], windows, strict=True)):
        seconds = range(int(start.timestamp()), int(end.timestamp()), QUARTER.seconds)
        timestamps = [rfc3339(datetime.fromtimestamp(second, UTC)) for second in seconds]
        result[f"serie_{position}"] = {
            "timestamps": timestamps,
            "values": [str(value(owner, second)) for second in seconds],
        }
    return json.dumps({"success": True, "errors": [], "result": result}, separators=(",", ":")).encode()


def _ends(asked: dict[str, list[str]]) -> Iterator[datetime]:
    return (_moment(text) + SLOT for text in asked["dateEnd"])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def serve() -> None:
    """Listen, print the address, and go on until standard input ends."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=body(request.query_string), content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())

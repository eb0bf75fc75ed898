"""A proxy that only supports CONNECT and records its requests."""

import asyncio
from contextlib import asynccontextmanager, suppress


async def _copy(reader, writer):
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


class _Proxy:
    def __init__(self, refusal):
        self.asked = []
        self.passed = bytearray()
        self._refusal = refusal
        self.tasks = []

    async def serve(self, reader, writer):
        self.tasks.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._connect(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _connect(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode())
        method, target, _ = self.asked[-1].split(" ", 2)
        if self._refusal or method != "CONNECT":
            writer.write(self._refusal or b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        host, _, port = target.rpartition(":")
        upstream, out = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self._record(reader, out), _copy(upstream, writer))
        with suppress(ConnectionError):
            await out.wait_closed()

    async def _record(self, reader, out):
        while data := await reader.read(65_536):
            self.passed += data
            out.write(data)
            await out.drain()
        out.close()


@asynccontextmanager
async def proxying(refusal=b""):
    """Serve a proxy that answers every request with *refusal* if there is one; gives it and HOST:PORT."""
    proxy = _Proxy(refusal)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1") as server:
        yield proxy, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*proxy.tasks, return_exceptions=True)

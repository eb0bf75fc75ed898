"""A Postgres proxy that can cut the connection after a COMMIT, when only the server knows that it is done."""

import asyncio
from contextlib import asynccontextmanager, suppress

import sqlalchemy as sa


class Proxy:
    """Passes bytes on; *cuts* says after how many more commits the answer is swallowed and the connection cut.

    Another *word* than that of a commit names another statement.
    """

    def __init__(self, url, word=b"COMMIT\0"):
        self._word = word
        self._server = sa.make_url(url)
        self.cuts = 0
        self.cut = 0
        self._under_way = set()

    @asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        query = {key: value for key, value in self._server.query.items() if key != "host"}
        url = self._server.set(host="127.0.0.1", port=port, query=query)
        async with server:
            yield url.render_as_string(hide_password=False)
            await asyncio.gather(*self._under_way)  # who used it has closed its connections by now

    def cuts_now(self):
        """Tell whether this statement's answer is to be lost."""
        if not self.cuts:
            return False
        self.cuts -= 1
        return True

    async def _open(self):
        host = self._server.query.get("host") or self._server.host
        port = self._server.port or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pass_on(self, client_reader, client_writer):
        self._under_way.add(asyncio.current_task())
        server_reader, server_writer = await self._open()
        cut = asyncio.Event()
        ways = [
            asyncio.create_task(self._to_server(client_reader, server_writer, cut)),
            asyncio.create_task(self._to_client(server_reader, client_writer, cut)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for writer in (client_writer, server_writer):
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _to_server(self, reader, writer, cut):
        while data := await reader.read(65_536):
            if self._word in data and self.cuts_now():
                cut.set()
            writer.write(data)
            await writer.drain()

    async def _to_client(self, reader, writer, cut):
        while data := await reader.read(65_536):
            if cut.is_set():
                self.cut += 1
                return
            writer.write(data)
            await writer.drain()

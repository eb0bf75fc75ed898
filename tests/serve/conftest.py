"""Servers over a store: `server` has a day of history, `empty_server` has none."""

import pytest

from tests.harness.http_server import fill, served


@pytest.fixture
async def server(store_url, tmp_path):
    async with served(store_url, tmp_path) as opened:
        await fill(opened)
        yield opened


@pytest.fixture
async def empty_server(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path) as opened:
        yield opened

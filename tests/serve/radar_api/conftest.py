from __future__ import annotations

import json
from pathlib import Path

import pytest

from collector.serve.radar_api import query_history
from tests.harness.factories import NOW


@pytest.fixture
def store_url(sqlite_url):
    """What is tested here does not depend on the database."""
    return sqlite_url


@pytest.fixture
def lose_the_store(sqlite_url):
    """Delete the store under the feet of who has opened it."""
    return Path(sqlite_url.removeprefix("sqlite:///")).unlink


@pytest.fixture
def asked(store):
    """Ask the store and give the text of the answer."""

    async def text(raw_query, now=NOW):
        return "".join((await query_history(store, raw_query, now)).chunks())

    return text


@pytest.fixture
def result(asked):
    """Ask the store and give `result` of the answer."""

    async def found(raw_query, now=NOW):
        document = json.loads(await asked(raw_query, now))
        assert document.pop("success") is True
        assert document.pop("errors") == []
        assert list(document) == ["result"]
        return document["result"]

    return found

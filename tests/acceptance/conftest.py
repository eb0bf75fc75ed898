"""What the acceptance tests share: a simulator and a collector's folder, on either store."""

import pytest

from tests.acceptance.world import beside_a_simulator


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """The URL of a store that is not there yet, on SQLite and on Postgres."""
    return "sqlite:///collector.db" if request.param == "sqlite" else request.getfixturevalue("empty_postgres_url")


@pytest.fixture
def world(tmp_path):
    """A simulator and a collector beside it, on SQLite."""
    with beside_a_simulator(tmp_path) as both:
        yield both

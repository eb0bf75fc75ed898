"""A Postgres that takes no writes from this user, or is out of reach: nothing is asked of Radar that cannot be kept."""

import psycopg
import pytest
import sqlalchemy as sa

from collector.collect.worker import ProfileWorker
from collector.store import Store, StoreUnavailable
from tests.harness.collect_core import open_core
from tests.harness.factories import profile

NOBODY = "collector_test_nobody"


@pytest.fixture
def nobody(postgres_server, postgres_url):
    """The address of the store for a user who may connect to it and no more."""
    postgres_server.run(f"DROP ROLE IF EXISTS {NOBODY}")
    postgres_server.run(f"CREATE ROLE {NOBODY} LOGIN PASSWORD 'made-up'")
    url = sa.make_url(postgres_url)
    yield url.set(username=NOBODY, password="made-up").render_as_string(hide_password=False)
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        connection.execute(f"DROP OWNED BY {NOBODY}")
    postgres_server.run(f"DROP ROLE {NOBODY}")


async def test_a_user_without_rights_is_told_so_and_stores_nothing(nobody):
    with pytest.raises(StoreUnavailable, match="does not grant this user what is needed") as refused:
        async with Store.open(nobody, owner="test"):
            pass
    assert "made-up" not in str(refused.value)


async def test_cut_from_the_database_it_stops_asking(postgres_server, postgres_url):
    database = sa.make_url(postgres_url).database
    async with open_core(postgres_url, profile()) as core:
        worker = ProfileWorker(core.profiles, core.store, core.batch_runner)
        assert await worker.run_due()
        asked = len(core.requests)
        postgres_server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        postgres_server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        for _ in range(3):
            core.clock.advance(hours=1)
            with pytest.raises(StoreUnavailable):
                await worker.run_due()
        assert len(core.requests) == asked
        postgres_server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        assert await worker.run_due()
        assert [fire.outcome for fire in await core.store.list_fires()].count("coalesced") == 2
        assert len(core.requests) == len(await core.store.list_fetches())

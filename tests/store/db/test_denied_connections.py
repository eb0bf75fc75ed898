"""What a real Postgres refuses is said by name, and waiting for it is of no use."""

import asyncio

import psycopg
import pytest
import sqlalchemy as sa

from collector.store import Store, StoreDenied
from collector.store.admin.commands import current


def with_(url, **changes):
    return sa.make_url(url).set(**changes).render_as_string(hide_password=False)


@pytest.fixture
def login(postgres_server, postgres_url):
    """A user that needs a password, and the address of a store with it."""
    folder = postgres_server.folder
    rules = (folder / "pg_hba.conf").read_text()
    (folder / "pg_hba.conf").write_text("local all with_password scram-sha-256\n" + rules)
    postgres_server.run("CREATE ROLE with_password SUPERUSER LOGIN PASSWORD 'right'")
    postgres_server.run("SELECT pg_reload_conf()")
    yield with_(postgres_url, username="with_password", password="right")
    (folder / "pg_hba.conf").write_text(rules)
    postgres_server.run("SELECT pg_reload_conf()")
    postgres_server.run("DROP OWNED BY with_password; DROP ROLE with_password")


async def refusal(url):
    said = []
    for work in (asyncio.to_thread(current, url), _opened(url, None), _opened(url, "run")):
        with pytest.raises(StoreDenied) as refused:
            await work
        said.append(str(refused.value))
    assert len({text.partition(" (")[0] for text in said}) == 1
    return said[0]


async def _opened(url, owner):
    async with Store.open(url, owner=owner):
        pass


async def test_a_wrong_password_is_one_also_while_the_store_is_open(login, postgres_server):
    assert current(login)
    told = await refusal(with_(login, password="hunter2"))
    assert "does not accept the password" in told
    assert "hunter2" not in told
    async with Store.open(login, owner="run") as store:
        await store.check_writable()
        postgres_server.run("ALTER ROLE with_password PASSWORD 'another'")
        postgres_server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'with_password'")
        for work in (store.get_state("x"), store.check_writable()):
            with pytest.raises(StoreDenied, match="does not accept the password"):
                await work


async def test_an_unknown_database_user_or_value_is_one(postgres_url):
    assert "does not exist on that server" in await refusal(with_(postgres_url, database="nowhere"))
    assert "does not accept the user" in await refusal(with_(postgres_url, username="nobody"))
    query = dict(sa.make_url(postgres_url).query)
    assert "with this option" in await refusal(with_(postgres_url, query={**query, "sslmode": "x"}))


async def test_a_default_of_reading_only_does_not_matter(postgres_url, postgres_server):
    database = sa.make_url(postgres_url).database
    postgres_server.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("on",)
    async with Store.open(postgres_url, owner="run") as store:
        await store.check_writable()

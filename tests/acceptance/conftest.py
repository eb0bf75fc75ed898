"""What the acceptance tests share: a simulator and a collector's folder, on either store."""

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """The URL of a store that is not there yet, on SQLite and on Postgres."""
    return "sqlite:///collector.db" if request.param == "sqlite" else request.getfixturevalue("empty_postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_database(request):
    """Gives the URL of another store that is not there yet at every call, on SQLite and on Postgres."""
    if request.param == "sqlite":
        yield lambda: "sqlite:///collector.db"
        return
    server, made = request.getfixturevalue("postgres_server"), []

    def create():
        made.append(server.create())
        return made[-1].render_as_string(hide_password=False)

    yield create
    for url in made:
        server.drop(url)

"""The Python interface: `collector.open`."""

import sys
from datetime import UTC, date, datetime
from subprocess import run

import pytest

import collector
from collector.errors import CollectorError, UsageError
from collector.store import Store
from collector.table import Table
from tests.conftest import in_a_thread
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, saved

BY = profile("by", caOwner=("A", "B"))


async def _fill(url):
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([BY], NOW)
        asked = batch(*[(series.query, hours(0, 24)) for series in BY.series])
        await saved(store, asked, {h: float(h) for h in range(24) if h != 5}, [3.0] * 24, profiles=("by",))


@pytest.fixture
def history(store_url):
    in_a_thread(_fill(store_url))
    with collector.open(store_url) as opened:
        yield opened


def test_it_works_beside_a_writer(history, store_url):
    async def beside():
        async with Store.open(store_url, owner="run"):
            return history.points("by", start=DAY, end=date(2026, 5, 1))

    points = in_a_thread(beside())
    assert points.columns == ("profile", "series", "timestamp", "value", "unit")
    assert (len(points), points.rows[0]) == (47, ("by", "by/A", DAY, 0.0, "*"))
    assert history.profiles().to_dicts() == [
        {"profile": "by", "agg_interval": "1h", "series": 2, "points": 47}
        | {"first_point": DAY, "last_point": DAY + 23 * HOUR}
    ]
    assert history.series("by")["label"] == ["by/A", "by/B"]
    assert history.gaps("by").rows == [("by", "by/A", DAY + 5 * HOUR, DAY + 6 * HOUR, 1, "missing")]
    assert len(history.annotations()) == 0


def test_words_derive_values(history):
    shares = history.points("by", share=True, end="2026-04-30T05:00:00Z")
    assert shares["share"][:5] == [pytest.approx(100 * h / (h + 3)) for h in range(5)]
    assert shares.notes[0] == "by: share is in percent of the sum of the 2 series of by"
    assert shares.notes[1].startswith("by counts entries, not certificates: ")
    frame = shares.to_pandas()
    assert frame[frame.series == "by/B"].share.iloc[0] == 100
    assert shares.to_arrow().column("timestamp").type.tz == "UTC"
    stats = history.stats(series="by/B")
    assert stats["total"] == [72]
    assert history.top("by", top=1)["series"] == ["by/A", "rest"]
    assert len(history.points("by", as_of=datetime(2020, 1, 1, tzinfo=UTC))) == 0


def test_a_table_shows_itself_without_trusting_its_content():
    table = Table({"name": ["<b>\u202e", None], "value": [1, 2.5]}, ["a & b"])
    assert repr(table) == "name  value\n<b>   1\n      2.5\n[2 rows]"
    assert "<td>&lt;b&gt; </td>" in table._repr_html_()
    assert "<p>a &amp; b</p>" in table._repr_html_()
    with pytest.raises(KeyError, match="the columns are name, value"):
        table["nome"]


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_a_library_that_is_not_installed_is_named(monkeypatch, library):
    monkeypatch.setattr("collector.table.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=f"-m pip install {library}"):
        getattr(Table({"a": [1]}), f"to_{library}")()


def test_errors_are_sentences(history, tmp_path):
    for said, call in (
        ("the store has no profile 'bye' (did you mean \"by\"?)", lambda: history.points("bye")),
        ("start: 'soon' is not a time", lambda: history.points("by", start="soon")),
        ('(did you mean "share"?); known: per, share, of', lambda: history.points("by", shares=True)),
        ("unknown word 'shares' (did you mean \"share\"?)", lambda: history.points("by", shares=True)),
        ("names no time zone", lambda: history.points("by", start=datetime(2026, 1, 1))),  # noqa: DTZ001 - refused
        ("is after end", lambda: history.stats("by", start="2026-04-30", end="2026-04-01")),
        ("there is no store at", lambda: collector.open(f"sqlite:///{tmp_path}/none.db")),
        ("the address of the store is refused", lambda: collector.open("mysql://x")),
    ):
        with pytest.raises(CollectorError) as error:
            call()
        assert said in str(error.value)
    history.close()
    with pytest.raises(UsageError, match="the history is closed"):
        history.profiles()


def test_another_schema_is_named(sqlite_url):
    from collector.store.admin import commands

    commands.downgrade(sqlite_url, "0011")
    with pytest.raises(CollectorError, match="schema has revision 0011 and must first be upgraded"):
        collector.open(sqlite_url)


def test_import_collector_imports_nothing_else():
    code = "import collector, sys; print([m for m in sys.modules if m.startswith(('collector.', 'sqlalchemy'))])"
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'opened'"):
        collector.opened  # noqa: B018 - its error is tested

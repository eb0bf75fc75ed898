"""The recipes of the reference. Its Python examples run with those of the README; see `test_readme.py`.

Datasette is not installed for tests, because it brings twenty packages: its statements run on SQLite itself.
"""

import contextlib
import re
import sqlite3

import yaml

from collector import docs
from tests.harness.http_server import fill, served

TEXT = docs.page("recipes")


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


async def test_the_questions_for_datasette_have_answers(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path) as core:
        await fill(core)
    (settings,) = [yaml.safe_load(block) for block in _blocks("yaml") if "queries" in block]
    ((name, database),) = settings["databases"].items()
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as store:
        rows = {
            title: store.execute(query["sql"], {"profile": "by"}).fetchall() if ":profile" in query["sql"]
            else store.execute(query["sql"]).fetchall()
            for title, query in database["queries"].items()
        }  # fmt: skip
    assert name == "collector"  # as the file is called
    assert rows["newest"][0] == ("all", "all", "2026-04-30 23:00:00", 230.0, "*")
    assert rows["per-day"] == [("2026-04-30", "by/A", 321.0, 24), ("2026-04-30", "by/B, Inc.", 288.0, 24)]
    assert {row[:4] for row in rows["revisions"]} == {
        ("by/A", f"2026-04-30 0{hour}:00:00", float(hour), hour * 10.0) for hour in (2, 3)
    }


async def test_the_example_for_prometheus_names_metrics_that_are_served(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path, metrics_values=True) as core:
        await fill(core)
        async with core.session.get(f"{core.url}/metrics") as answer:
            names = set(re.findall(r"^(collector_\w+)\{", await answer.text(), re.MULTILINE))
    (expression,) = _blocks("promql")
    assert set(re.findall(r"collector_\w+", expression)) <= names
    (settings,) = [yaml.safe_load(block) for block in _blocks("yaml") if "scrape_configs" in block]
    (job,) = settings["scrape_configs"]
    assert job.keys() == {"job_name", "scrape_interval", "static_configs"}
    assert job["static_configs"][0]["targets"] == ["127.0.0.1:8080"]

"""The reference has every setting, command, route and metric, and is up to date."""

import ast
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

import collector
from collector import docs, reference
from collector.cli.main import command
from collector.serve.app import make_app
from collector.serve.docs import page_html
from collector.settings.schema import SECTIONS, ProfileSection, toml_keys
from tests.harness.http_server import fill, served

FOLDER = Path(docs.__file__).parent
WRITE = "python -m collector.reference writes it"


@pytest.mark.parametrize("name", ["README", *docs.PAGES])
def test_the_generated_blocks_of_a_page_are_what_the_code_says(name):
    text = (FOLDER / f"{name}.md").read_text()
    assert reference.filled(text) == text, WRITE


def test_every_settings_key_is_in_the_reference():
    page = docs.page("settings")
    models = {**SECTIONS, "profiles": ProfileSection}
    keys = [f"{name}.{key}" for name, model in models.items() for key in toml_keys(model)]
    tables = {"profiles.filters", "profiles.each"}
    assert [key for key in keys if key not in tables and f"| `{key}` |" not in page] == []
    assert "[profiles.filters]" in page
    assert "[profiles.each]" in page


def test_every_command_and_option_is_in_the_reference():
    sections = docs.page("commands").split("\n### ")
    named = {text.partition("\n")[0].strip("`"): text for text in sections}
    for path, found in reference.commands(command):
        text = named[" ".join(path)]
        for one in found.params:
            if isinstance(one, click.Option) and not one.hidden:
                names = (*one.opts, *one.secondary_opts)
                assert [name for name in names if not re.search(rf"[`, ]{name}[`, ]", text)] == [], path


@pytest.fixture
async def world(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path) as running:
        await fill(running)
        yield running


async def test_every_route_is_in_the_reference(world):
    page = docs.page("http")
    routes = {route.resource.canonical for route in make_app(world.service, "127.0.0.1").router.routes()}
    assert {"/", "/docs", "/api/v1/points", "/client/v4/radar/ct/timeseries"} <= routes
    parts = ("/dashboard/", "/docs/", "/client/v4/{path}")
    assert [path for path in routes if not path.startswith(parts) and f"{path}`" not in page] == []


async def test_every_metric_is_in_the_reference(world):
    page = docs.page("metrics")
    async with world.session.get(f"{world.url}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    assert len(families) >= 20
    assert [one.name for one in families if f"| `{one.name}" not in page] == []


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in docs.PAGES), "/docs/style.css"])
async def test_the_server_serves_every_page_with_the_headers_of_the_dashboard(world, path):
    async with world.session.get(world.url + path) as answer:
        text = await answer.text()
        assert answer.status == 200
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "<script" not in text
    assert re.findall(r'(?:src|href)="(?:https?:)?//', text) == []


async def test_a_page_that_does_not_exist_is_404(world):
    async with world.session.get(f"{world.url}/docs/other") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("name", [*docs.PAGES, "README"])
def test_every_link_between_pages_leads_somewhere(name):
    html = page_html(name)
    links = re.findall(r'href="/docs/(\w+)(?:#([^"]+))?"', html)
    assert len(links) >= len(docs.PAGES)
    assert ".md" not in re.sub("<code>.*?</code>", "", html)
    for page, anchor in links:
        assert page in docs.PAGES, page
        assert not anchor or f'id="{anchor}"' in page_html(page), anchor


def test_the_command_prints_one_page_or_all():
    one, everything = (CliRunner().invoke(command, ["docs", *page]).stdout for page in (["metrics"], []))
    assert one == docs.page("metrics")
    assert everything == docs.whole()
    assert "<!--" not in everything
    assert all(docs.page(name) in everything for name in docs.PAGES)


def test_another_page_is_refused_with_the_pages_that_exist():
    done = CliRunner().invoke(command, ["docs", "other"])
    assert done.exit_code == 2
    assert "'settings', 'commands'" in done.stderr


_LEVELS = {"debug", "info", "warning", "error", "exception", "log"}


def _logged():
    """Every event word that a log call of the package names, also where a helper gets it as its first argument."""
    for path in sorted(Path(collector.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            is_log = name in _LEVELS and getattr(getattr(node.func, "value", None), "id", "").endswith("log")
            if is_log or name in {"_repeat", "_run_repeatedly"}:
                texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                yield from texts[:1]


def test_the_reference_lists_exactly_the_log_events_of_the_code():
    section = docs.page("metrics").split("## Log events")[1]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    listed = [event for cell in cells for event in re.findall(r"`(\w+)`", cell)]
    assert sorted(listed) == sorted({*_logged()})

import enum
import json
import re
import types
import typing
from datetime import timedelta
from types import SimpleNamespace

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from collector.analysis.marks import Mark
from collector.collect.worker import ProfileWorker
from collector.report import grafana
from collector.report.status import status_document
from collector.serve.metrics import Metrics
from collector.store import Fire, SaveResult
from tests.harness import faults
from tests.harness.collect_core import open_core
from tests.harness.factories import DAY, HOUR, NOW, at, batch, hours, profile, query, rows, saved
from tests.harness.http_server import ANNOTATION, fill, served

DASHBOARDS = {
    "metrics": grafana.metrics_dashboard(),
    "postgresql": grafana.history_dashboard("postgresql"),
    "sqlite": grafana.history_dashboard("sqlite"),
}


def _expressions():
    panels = json.loads(grafana.metrics_dashboard())["panels"]
    rules = json.loads(grafana.alert_rules())["groups"][0]["rules"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules]


async def test_every_metric_of_the_dashboard_is_served(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path) as core:
        await fill(core)
        _count_one_of_each(core.service.metrics)
        async with core.session.get(f"{core.url}/metrics") as answer:
            served_names = set(re.findall(r"^(collector_\w+)", await answer.text(), re.MULTILINE))
    asked = {name for expression in _expressions() for name in re.findall(r"collector_\w+", expression)}
    assert asked <= served_names


def _count_one_of_each(metrics: Metrics):
    metrics.asked("ok", 1)
    metrics.saved("all", SaveResult(1))
    metrics.fired([Fire("all", NOW, "collected", NOW)])


class Grafana:
    """Sends the statements of a dashboard, with macros and variables replaced as Grafana and the plugins do."""

    def __init__(self, core, backend):
        self.core, document = core, json.loads(DASHBOARDS[backend])
        self.panels = {panel["title"]: panel["targets"][0] for panel in document["panels"]}
        self.annotations = {each["name"]: each["target"] for each in document["annotations"]["list"]}
        self.variables = {each["name"]: each["query"] for each in document["templating"]["list"]}

    async def rows(self, statement, start, end, **variables):
        seconds = {"from": int(start.timestamp()), "to": int(end.timestamp())}
        chosen = {"interval": "3600", "step": "0", "aggregate": "avg", "profile": ["all", "by"]} | variables
        chosen = {"series": ["all", "by/A", "by/B, Inc."]} | chosen
        text = statement.replace("$__interval_ms", "1800000")
        for edge, value in seconds.items():
            text = text.replace(f"$__unixEpoch{edge.title()}()", str(value)).replace(f"$__{edge}", str(value * 1000))
        for name, value in chosen.items():
            listed = ",".join("'" + each.replace("'", "''") + "'" for each in value)
            text = text.replace(f"${{{name}:sqlstring}}", listed).replace(f"${name}", str(value))
        assert "$" not in text
        return await rows(self.core.store, text.replace(":", "\\:").replace("\\:\\:", "::"))

    async def lines(self, title, start, end, **variables):
        """The lines of a chart: {name: {hours into the day: value}}."""
        target = self.panels[title]
        lines = {}
        for moment, name, value in await self.rows(
            target.get("rawSql") or target["queryText"], start, end, **variables
        ):
            lines.setdefault(name, {})[(_seconds(moment) - at(0)) / 3600] = value
        return lines


def _seconds(moment):
    return moment if isinstance(moment, int | float) else moment.timestamp()


def _hour(moment):
    return (_seconds(moment) - at(0)) / 3600


def _statement(target):
    return target.get("rawSql") or target["queryText"]


async def test_every_statement_shows_what_is_stored(store_url, tmp_path):
    async with served(store_url, tmp_path) as core:
        await fill(core)
        mark = Mark(start=DAY - HOUR, end=DAY + 30 * HOUR, text="It's a mark")
        await core.store.add_mark(mark, NOW)
        page = Grafana(core, core.store.backend)
        day = DAY, DAY + 23 * HOUR

        hourly = await page.lines("History", *day)
        every = {hour: hour * 10 if hour not in (4, 5) else None for hour in range(24)}
        b = {hour: hour + 0.5 for hour in range(24)}
        assert hourly == {"all": every, "by/A": {h: {2: 20, 3: 30}.get(h, h) for h in range(24)}, "by/B, Inc.": b}
        quarters = await page.lines("History", *day, step="21600", aggregate="max", series=["all", "by/B, Inc."])
        assert quarters == {
            "all": {0: 30, 6: 110, 12: 170, 18: 230},
            "by/B, Inc.": {0: 5.5, 6: 11.5, 12: 17.5, 18: 23.5},
        }
        week = [moment + timedelta(days=7) for moment in day]
        earlier = await page.lines("A week earlier", *week, series=["by/B, Inc."])
        assert earlier == {"by/B, Inc.": {hour + 168: value for hour, value in b.items()}}
        assert await page.lines("Shares", *day) == {}

        gaps = await page.rows(_statement(page.panels["Gaps: buckets that are not stored"]), *day)
        assert [(name, _hour(start), _hour(end), number) for name, start, end, number in gaps] == [("all", 4, 6, 2)]
        revised = await page.rows(_statement(page.panels["Revised values"]), *day)
        assert {(name, _hour(moment), was) for moment, name, was, _ in revised} == {("by/A", 2, 2), ("by/A", 3, 3)}
        cloudflare = _statement(page.annotations["Cloudflare"])
        assert await page.rows(cloudflare, *day) == []  # the newest answer no longer has it
        asked, updated = batch((core.service.profiles[0].series[0].query, hours(0, 1))), DAY + 26 * HOUR
        await saved(core.store, asked, [0], now=NOW + HOUR, updated=updated, annotations=(ANNOTATION,))
        ((start, end, *rest),) = await page.rows(cloudflare, *day)
        assert (_hour(start), _hour(end), *rest) == (0, 3, "<b>down</b>", "OUTAGE")
        own = await page.rows(_statement(page.annotations["Own marks"]), *day)
        assert [(_hour(start), _hour(end), text) for start, end, text in own] == [(-1, 30, "It's a mark")]

        variables = {name: page.variables[name] for name in ("interval", "profile", "series")}
        assert {name: await page.rows(text, *day, profile=["by"]) for name, text in variables.items()} == {
            "interval": [("1h", 3600)], "profile": [("all",), ("by",)], "series": [("by/A",), ("by/B, Inc.",)]
        }  # fmt: skip


async def test_percentages_and_other_units_are_not_mixed_with_counts(store):
    shares, named = profile("shares", filters={"ca": ("A",)}), profile("named")
    await store.activate_labels([shares, named], NOW)
    percent = {"normalization": "PERCENTAGE", "unit": "%"}
    await saved(store, batch((shares.series[0].query, hours(0, 1))), [50], profiles=("shares",), **percent)
    await saved(store, batch((query(), hours(0, 1))), [7], profiles=("named",), unit="certificates")
    page = Grafana(SimpleNamespace(store=store), store.backend)
    chosen = {"profile": ["shares", "named"], "series": ["shares", "named"]}
    lines = {title: await page.lines(title, DAY, DAY, **chosen) for title in ("History", "Shares")}
    assert lines == {"History": {"named in certificates": {0: 7}}, "Shares": {"shares in %": {0: 50}}}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_dashboards_are_what_the_schema_of_grafana_describes(name):
    """The classes of Grafana's own SDK are generated from its schema: what they do not know, they do not write."""
    register_default_plugins()
    document = json.loads(DASHBOARDS[name])
    read = Dashboard.from_json(document)
    written = json.loads(json.dumps(read, cls=JSONEncoder))
    targets = [
        each.pop("target") for each in document["annotations"]["list"]
    ]  # there, the SDK knows those of one source
    assert all(target["refId"] for target in targets)
    assert _unknown(document, written) == []
    assert _unfit(read, Dashboard) == []


def _unknown(ours, theirs, path=""):
    """The paths of what *theirs* lacks or has otherwise."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [line for key in ours for line in _unknown(ours[key], theirs.get(key), f"{path}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            line for n, (a, b) in enumerate(zip(ours, theirs, strict=True)) for line in _unknown(a, b, f"{path}[{n}]")
        ]
    return [] if ours == theirs else [f"{path}: {ours!r}, not {theirs!r}"]


def _unfit(value, declared, path="dashboard"):
    """The paths of what has not the type that the SDK declares."""
    origin, parts = typing.get_origin(declared), typing.get_args(declared)
    if declared in (typing.Any, object):
        return _unfit(value, type(value), path) if type(value).__module__.startswith("grafana_") else []
    if origin in (typing.Union, types.UnionType):
        fits = any(not _unfit(value, part, path) for part in parts)
    elif origin is typing.Literal:
        fits = value in parts
    elif origin is list and isinstance(value, list):
        return [line for n, each in enumerate(value) for line in _unfit(each, parts[0], f"{path}[{n}]")]
    elif origin is dict and isinstance(value, dict):
        return [line for key, each in value.items() for line in _unfit(each, parts[1], f"{path}.{key}")]
    elif origin is not None:
        fits = False
    elif issubclass(declared, enum.Enum):
        fits = value in [member.value for member in declared]
    elif declared in (int, float, str, bool):
        fits = type(value) in ((int, float) if declared is float else (declared,))
    elif fits := isinstance(value, declared):
        hints = typing.get_type_hints(type(value))
        return [line for key, hint in hints.items() for line in _unfit(getattr(value, key), hint, f"{path}.{key}")]
    return [] if fits else [f"{path}: {value!r} is no {declared}"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap_and_use_the_chosen_source(name):
    document = json.loads(DASHBOARDS[name])
    places = [panel["gridPos"] for panel in document["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {panel["datasource"]["uid"] for panel in document["panels"]} == {"${datasource}"}
    assert document["timezone"] == "utc"


def test_there_is_an_alert_for_each_kind_of_failure():
    rules = json.loads(grafana.alert_rules())["groups"][0]["rules"]
    names = {rule["alert"] for rule in rules}
    kinds = ("Absent", "Late", "NeverAnswered", "Gap", "Stale", "Failing", "Upstream", "Blocked")
    assert names == {f"Collector{kind}" for kind in kinds}
    assert all(rule["for"] and rule["labels"]["severity"] and rule["annotations"]["summary"] for rule in rules)


def _expression(name):
    rules = json.loads(grafana.alert_rules())["groups"][0]["rules"]
    return next(rule["expr"] for rule in rules if rule["alert"] == f"Collector{name}")


async def _samples(metrics, standing, name):
    text = metrics.text(standing, {}, NOW).decode()
    return {profile: float(value) for profile, value in re.findall(rf'{name}{{profile="(\w+)"}} (\S+)', text)}


async def test_two_failing_profiles_of_thirteen_raise_their_own_alerts_and_not_that_of_the_upstream(sqlite_url):
    profiles = [profile(f"p{number}", filters={"ca": (f"CA {number}",)}) for number in range(13)]
    async with open_core(sqlite_url, *profiles) as core:
        ill = lambda got: any(a.query.filters["ca"][0] in ("CA 1", "CA 2") for a in got.request.series)  # noqa: E731
        core.script(faults.api_error(400, 2001).always().only(ill))
        worker = ProfileWorker(profiles, core.store, core.batch_runner)
        for _ in range(20):  # the ill ones are asked again and again
            await worker.run_due()
            core.clock.advance(minutes=2)
        rows = await core.store.list_fetches()
        assert sum(row.outcome != "ok" for row in rows) > len(rows) / 2
        standing = await status_document(core.store, profiles, 600, core.clock())
        failing = await _samples(Metrics(), standing, "collector_failing")
        assert {name for name, value in failing.items() if value} == {"p1", "p2"}
        healthy = await _samples(Metrics(), standing, "collector_healthy")
        assert sum(healthy.values()) == 11
    for name in ("Failing", "Upstream"):
        assert "requests_total" not in _expression(name)
    assert _expression("Failing") == "collector_failing > 0"
    assert _expression("Upstream") == "avg without (profile) (collector_healthy) < 0.5"


async def test_the_upstream_alert_fires_if_most_profiles_fail(sqlite_url):
    profiles = [profile(f"p{number}", filters={"ca": (f"CA {number}",)}) for number in range(3)]
    async with open_core(sqlite_url, *profiles) as core:
        core.script(faults.html(503).always())
        worker = ProfileWorker(profiles, core.store, core.batch_runner)
        healthy = []
        for _ in range(4):
            await worker.run_due()
            standing = await status_document(core.store, profiles, 600, core.clock())
            healthy.append(sum((await _samples(Metrics(), standing, "collector_healthy")).values()))
            core.clock.advance(minutes=20)
        assert healthy[-1] == 0

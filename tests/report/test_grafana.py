import json
import re

import pytest
import sqlalchemy as sa

from collector.collect.worker import ProfileWorker
from collector.report import grafana
from collector.report.status import status_document
from collector.serve.metrics import Metrics
from collector.store import Fire, SaveResult
from tests.harness import faults
from tests.harness.collect_core import open_core
from tests.harness.factories import DAY, NOW, profile
from tests.harness.http_server import fill, served

DASHBOARDS = [grafana.metrics_dashboard, grafana.history_dashboard]


def _expressions():
    panels = json.loads(grafana.metrics_dashboard())["panels"]
    rules = json.loads(grafana.alert_rules())["groups"][0]["rules"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules]


def _queries():
    document = json.loads(grafana.history_dashboard())
    panels = {panel["title"]: panel["targets"][0]["rawSql"] for panel in document["panels"]}
    return panels | {"variable": document["templating"]["list"][1]["query"]}


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


@pytest.mark.parametrize("title", _queries())
async def test_every_query_runs_on_postgres(postgres_url, tmp_path, title):
    query = re.sub(r"\$__timeFilter\((\S+)\)", rf"\1 >= '{DAY:%Y-%m-%d}'", _queries()[title])
    query = query.replace("${series:sqlstring}", "'all', 'by/A'").replace("$__timeFrom()", "'2026-05-07'")
    query = query.replace("$__timeTo()", "'2026-05-08'")
    assert "$" not in query
    async with served(postgres_url, tmp_path) as core:
        await fill(core)
        with core.store._database.read() as connection:
            rows = connection.execute(sa.text(query)).all()
    assert {"History": 46, "A week earlier": 46, "Revised": 2, "variable": 3}[title] == len(rows)


@pytest.mark.parametrize("write", DASHBOARDS)
def test_panels_do_not_overlap_and_use_the_chosen_source(write):
    document = json.loads(write())
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

import json
import re

import pytest
import sqlalchemy as sa

from collector.serve import grafana
from collector.serve.metrics import Metrics
from collector.store import Fire, Saved
from tests.serve.serving import fill, served
from tests.store.making import DAY, NOW

DASHBOARDS = [grafana.metrics_dashboard, grafana.history_dashboard]


def _expressions():
    panels = json.loads(grafana.metrics_dashboard())["panels"]
    rules = json.loads(grafana.alert_rules())["groups"][0]["rules"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules]


def _queries():
    document = json.loads(grafana.history_dashboard())
    panels = {panel["title"]: panel["targets"][0]["rawSql"] for panel in document["panels"]}
    return panels | {"variable": document["templating"]["list"][1]["query"]}


async def test_every_metric_that_is_asked_for_is_served(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path) as world:
        await fill(world)
        _count_one_of_each(world.service.metrics)
        async with world.session.get(f"{world.url}/metrics") as answer:
            served_names = set(re.findall(r"^(collector_\w+)", await answer.text(), re.MULTILINE))
    asked = {name for expression in _expressions() for name in re.findall(r"collector_\w+", expression)}
    assert asked <= served_names


def _count_one_of_each(metrics: Metrics):
    metrics.asked("ok", 1)
    metrics.saved("all", Saved(1))
    metrics.fired([Fire("all", NOW, "collected", NOW)])


@pytest.mark.parametrize("title", _queries())
async def test_every_query_runs_on_postgres(postgres_url, tmp_path, title):
    query = re.sub(r"\$__timeFilter\((\S+)\)", rf"\1 >= '{DAY:%Y-%m-%d}'", _queries()[title])
    query = query.replace("${series:sqlstring}", "'all', 'by/A'").replace("$__timeFrom()", "'2026-05-07'")
    query = query.replace("$__timeTo()", "'2026-05-08'")
    assert "$" not in query
    async with served(postgres_url, tmp_path) as world:
        await fill(world)
        async with world.store._database.read() as connection:
            rows = (await connection.execute(sa.text(query))).all()
    assert {"History": 46, "A week earlier": 46, "Revised": 2, "variable": 3}[title] == len(rows)


@pytest.mark.parametrize("write", DASHBOARDS)
def test_panels_lie_beside_each_other_and_ask_the_chosen_source(write):
    document = json.loads(write())
    places = [panel["gridPos"] for panel in document["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {panel["datasource"]["uid"] for panel in document["panels"]} == {"${datasource}"}
    assert document["timezone"] == "utc"


def test_there_is_a_rule_for_each_kind_of_trouble():
    rules = json.loads(grafana.alert_rules())["groups"][0]["rules"]
    names = {rule["alert"] for rule in rules}
    kinds = ("Absent", "Stale", "NeverAnswered", "Gap", "Failing", "Blocked")
    assert names == {f"Collector{kind}" for kind in kinds}
    assert all(rule["for"] and rule["labels"]["severity"] and rule["annotations"]["summary"] for rule in rules)

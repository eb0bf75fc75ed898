"""Derived points, stats, top and marks over HTTP; their values are tested in `report/test_analysis.py`."""

import csv

from tests.harness import groups
from tests.harness.factories import hours

DAY = "start=2026-04-30&end=2026-05-01"


async def test_derived_points_come_in_pages_and_as_csv(server):
    path = f"/api/v1/points?profile=by&{DAY}&share=true&rank=true&limit=7"
    rows = await server.all_of(path, "points")
    assert len(rows) == 48
    first, other = rows[3], rows[27]
    assert (first["series"], first["value"], other["value"]) == ("by/A", 30, 3.5)
    assert (first["share"], first["rank"], first["reason"]) == (100 * 30 / 33.5, 1, None)
    share, counted = (await server.get(path))["notes"]
    assert share == "by: share is in percent of the sum of the 2 series of by"
    assert counted.startswith("by counts entries, not certificates")
    async with server.session.get(f"{server.url}/api/v1/points?profile=by&{DAY}&share=true&format=csv") as answer:
        assert answer.headers["X-Licence"].startswith("Data: Cloudflare Radar")
        lines = list(csv.DictReader((await answer.text()).splitlines()))
    assert [float(line["share"]) for line in lines] == [row["share"] for row in rows]


async def test_a_day_with_a_hole_has_a_partial_sum_and_no_growth(server):
    document = await server.get(f"/api/v1/points?profile=all&{DAY}&per=day&growth=true")
    (row,) = document["points"]
    assert (row["value"], row["known"], row["expected"]) == (sum(h * 10 for h in range(24) if h not in (4, 5)), 22, 24)
    assert (row["growth"], row["reason"]) == (None, "growth: 22 of 24 buckets")


async def test_stats_and_top(server):
    one, other = (await server.get(f"/api/v1/stats?profile=by&{DAY}"))["stats"]
    assert (one["series"], one["total"], one["rank"]) == ("by/A", 321, 1)
    assert one["share"] + other["share"] == 100
    top = (await server.get(f"/api/v1/top?profile=by&{DAY}&top=1&compare=previous"))["top"]
    assert [(row["series"], row["rest"], row["growth"]) for row in top] == [("by/A", None, None), ("rest", 1, None)]
    async with server.session.get(f"{server.url}/api/v1/stats?series=by/A&{DAY}&format=csv") as answer:
        (line,) = csv.DictReader((await answer.text()).splitlines())
    assert (line["series"], line["total"], line["max_at"]) == ("by/A", "321", "2026-04-30T03:00:00Z")


async def test_invalid_requests_say_what_is_allowed(server):
    for status, path, said in (
        (400, "points?per=decade", "per: 'decade' is not one of hour, day"),
        (400, "points?profile=all&per=day&thin=5", "thin: cannot be combined with per, share and the like"),
        (400, "points?of=none", "of: there is no profile 'none'"),
        (400, "points?perr=day", "unknown parameter 'perr' (did you mean \"per\"?)"),
        (
            400,
            "stats?compare=52w",
            "unknown parameter 'compare'; known: series, profile, start, end, as_of, format, per",
        ),
        (400, "top?compare=3w", "compare: '3w' is not one of previous"),
        (404, "stats?profile=al", "no profile 'al' (did you mean \"all\"?)"),
        (400, "points?profile=all&per=day&share=true&after=x", "after: not a cursor"),
    ):
        assert said in (await server.get(f"/api/v1/{path}", status))["error"]


async def test_marks_are_added_listed_and_removed(server):
    url = f"{server.url}/api/v1/marks"
    body = {"date": "2027-03-15", "text": "x & y", "url": "https://example.org"}
    async with server.session.post(url, json=body) as added:
        assert added.status == 201
        mark = await added.json()
    async with server.session.post(url, json=body) as again:
        assert await again.json() == mark
    assert (await server.get("/api/v1/marks"))["marks"] == [mark]
    policies = (await server.get("/api/v1/marks?policy=true&start=2026-01-01&limit=2"))["marks"]
    assert [row["start"] for row in policies] == ["2026-03-15T00:00:00Z", "2027-03-15T00:00:00Z"]
    async with server.session.post(url, json={"date": "x", "text": "y"}) as refused:
        assert (refused.status, "date: 'x' is not a time" in (await refused.json())["error"]) == (400, True)
    async with server.session.delete(f"{url}/{mark['id']}") as refused:
        assert refused.status == 415
    foreign = {"Origin": "https://example.org"}
    async with server.session.delete(f"{url}/{mark['id']}", json={}, headers=foreign) as refused:
        assert refused.status == 403
    for status in (200, 404):
        async with server.session.delete(f"{url}/{mark['id']}", json={}) as removed:
            assert removed.status == status


async def test_pages_of_points_say_where_a_group_is_unknown(empty_server):
    await empty_server.store.activate_labels([groups.OWNERS], groups.NOW)
    left = {1: 3, 2: 4}
    await groups.save(empty_server.store, left=left, A=groups.each(0), B={0: 5, 3: 5}, C={0: 2})
    path = f"/api/v1/points?profile=owners&end={hours(0, 4).end:%Y-%m-%dT%H:%M:%SZ}"
    document = await empty_server.get(path)
    window = {"profile": "owners", "start": "2026-04-30T01:00:00Z", "end": "2026-04-30T03:00:00Z", "at_most": 2}
    assert document["unknown"] == [{**window, "series": "owners/B"}, {**window, "series": "owners/C"}]
    first = await empty_server.get(f"{path}&limit=5")
    second = await empty_server.get(f"{path}&limit=5&after={first['next']}")
    assert (first["unknown"], second["unknown"]) == ([], document["unknown"])
    assert "at_most" in (await empty_server.get(f"{path}&per=day"))["points"][0]

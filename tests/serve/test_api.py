from dataclasses import replace
from importlib.resources import files

import pytest

from collector.daemon import Daemon
from collector.serve.app import make_app, serving
from collector.timestamps import rfc3339
from tests.harness.factories import DAY, HOUR, NOW, batch, filtered, hours, profile, saved
from tests.harness.http_server import SERVER_TOKEN, fill, served

LISTS = ["profiles", "series", "fetches", "annotations", "gaps", "revisions", "points"]


async def test_status_is_what_the_command_prints(server):
    document = await server.get("/api/v1/status")
    every, by = document["profiles"]
    assert (every["name"], every["points"], every["last_point"]) == ("all", 22, "2026-04-30T23:00:00Z")
    assert (by["failures"], by["state"]) == (1, "failing")
    assert document["store"]["points"] == 70
    assert document["budget"]["used"] == 3


async def test_profiles_have_their_filters_and_until_when_values_are_final(server):
    every, by = (await server.get("/api/v1/profiles"))["profiles"]
    assert every["series"] == ["all"]
    assert every["confidence_level"] == 5
    assert every["final_until"] == rfc3339(DAY + 22 * HOUR)
    assert by["each"] == {"caOwner": ["A", "B, Inc."]}
    assert by["series"] == ["by/A", "by/B, Inc."]


async def test_series_have_their_identity(server):
    rows = (await server.get("/api/v1/series?profile=by"))["series"]
    assert [(row["label"], row["points"], row["filters"]) for row in rows] == [
        ("by/A", 24, {"caOwner": ["A"]}),
        ("by/B, Inc.", 24, {"caOwner": ["B, Inc."]}),
    ]
    assert (await server.get(f"/api/v1/series?start={rfc3339(NOW)}"))["series"] == []


async def test_fetches_come_newest_first_with_their_errors(server):
    rows = (await server.get("/api/v1/fetches"))["fetches"]
    assert [(row["outcome"], row["message"]) for row in rows] == [
        ("unavailable", "no answer: <script>"),
        ("ok", None),
        ("ok", None),
    ]
    assert len((await server.get("/api/v1/fetches?profile=all"))["fetches"]) == 1


async def test_annotations_are_filtered_by_time(server):
    (remark,) = (await server.get("/api/v1/annotations"))["annotations"]
    assert (remark["start_date"], remark["description"]) == (rfc3339(DAY), "<b>down</b>")
    assert (await server.get(f"/api/v1/annotations?start={rfc3339(NOW)}"))["annotations"] == []


async def test_gaps_have_a_reason(server):
    gaps = (await server.get("/api/v1/gaps?profile=all"))["gaps"]
    assert [(gap["start"], gap["buckets"], gap["reason"]) for gap in gaps] == [(rfc3339(DAY + 4 * HOUR), 2, "upstream")]
    assert (await server.get("/api/v1/gaps?profile=by"))["gaps"] == []
    assert (await server.get(f"/api/v1/gaps?end={rfc3339(DAY)}"))["gaps"] == []


async def test_revisions_have_the_old_and_the_new_value(server):
    rows = (await server.get("/api/v1/revisions"))["revisions"]
    assert [(row["series"], row["value"], row["new_value"]) for row in rows] == [("by/A", 2, 20), ("by/A", 3, 30)]


async def test_points_are_filtered_by_label_and_time(server):
    found = await server.get(
        f"/api/v1/points?series=by/A&series=all&start={rfc3339(DAY)}&end={rfc3339(DAY + 2 * HOUR)}"
    )
    assert [(p["series"], p["timestamp"], p["value"]) for p in found["points"]] == [
        ("all", "2026-04-30T00:00:00Z", 0),
        ("all", "2026-04-30T01:00:00Z", 10),
        ("by/A", "2026-04-30T00:00:00Z", 0),
        ("by/A", "2026-04-30T01:00:00Z", 1),
    ]


async def test_a_former_profile_name_finds_the_history_of_the_new_one(server):
    await server.store.activate_labels([profile("was", caOwner=("A",)), filtered("whole")], NOW)
    await server.store.activate_labels(server.service.profiles, NOW)
    new, old = [await server.all_of(f"/api/v1/points?{name}", "points") for name in ("series=by/A", "profile=was")]
    assert old == new
    assert len(old) == 24
    assert await server.all_of("/api/v1/points?series=was/A&limit=5", "points") == new
    assert [row["label"] for row in (await server.get("/api/v1/series?profile=was"))["series"]] == ["by/A"]
    assert [row["series"] for row in (await server.get("/api/v1/revisions?profile=was"))["revisions"]] == ["by/A"] * 2
    assert [gap["series"] for gap in (await server.get("/api/v1/gaps?profile=whole"))["gaps"]] == ["all"]
    assert (await server.get("/api/v1/gaps?profile=was"))["gaps"] == []


async def test_points_as_they_were_known(server):
    hour = f"start={rfc3339(DAY + 2 * HOUR)}&end={rfc3339(DAY + 3 * HOUR)}"
    then = await server.get(f"/api/v1/points?series=by/A&{hour}&as_of={rfc3339(NOW)}")
    now = await server.get(f"/api/v1/points?series=by/A&{hour}")
    assert [found["points"][0]["value"] for found in (then, now)] == [2, 20]


async def test_points_have_the_unit_that_is_in_force_for_their_bucket(server):
    (every, *_) = server.service.profiles
    asked = batch((every.series[0].query, hours(22, 26)))
    for moment in (NOW + HOUR, NOW + 2 * HOUR):
        await saved(server.store, asked, [1, 2, 3, 4], now=moment, updated=moment, unit="requests")
    start = f"series=all&start={rfc3339(DAY + 20 * HOUR)}"
    found = [(p["value"], p["unit"]) for p in await server.all_of(f"/api/v1/points?{start}&limit=1", "points")]
    assert found == [(200, "*"), (210, "*"), (1, "requests"), (2, "requests"), (3, "requests"), (4, "requests")]
    thin = (await server.get(f"/api/v1/points?{start}&end={rfc3339(DAY + 26 * HOUR)}&thin=100"))["series"]
    assert [(one["unit"], one["mean"]) for one in thin] == [("requests", [1, 2, 3, 4]), ("*", [200, 210])]


async def test_thinned_points_keep_the_peaks_and_show_the_gap(server):
    between = f"start={rfc3339(DAY)}&end={rfc3339(DAY + 24 * HOUR)}"
    found = (await server.get(f"/api/v1/points?profile=all&series=all&thin=12&{between}"))["series"]
    (series,) = found
    assert (series["start"], series["column_seconds"], series["thinned"]) == (rfc3339(DAY), 7200, True)
    assert series["least"] == [0, 20, None, *range(60, 240, 20)]
    assert series["most"] == [10, 30, None, *range(70, 240, 20)]
    assert series["mean"][:3] == [5, 25, None]
    assert series["points"][:4] == [2, 2, 0, 2]
    (exact,) = (await server.get(f"/api/v1/points?series=all&thin=1000&{between}"))["series"]
    assert (exact["thinned"], exact["mean"][3:7]) == (False, [30, None, None, 60])


async def test_of_a_label_whose_unit_changed_only_one_unit_is_on_a_common_axis(server):
    (every, *_) = server.service.profiles
    asked = batch((every.series[0].query, hours(22, 26)))
    for moment in (NOW + HOUR, NOW + 2 * HOUR):
        await saved(server.store, asked, [1, 2, 3, 4], now=moment, updated=moment, unit="requests")
    between = f"start={rfc3339(DAY + 20 * HOUR)}&end={rfc3339(DAY + 26 * HOUR)}&thin=100&buckets=common"
    found = (await server.get(f"/api/v1/points?series=all&series=by/A&{between}"))["series"]
    shown = [(one["series"], one["bucket"], one["unit"], one["mean"], one["refused"]) for one in found]
    words = "its unit is '*', the unit of this chart is 'requests'"
    assert shown == [
        ("all", "1h", "requests", [1, 2, 3, 4], None),
        ("all", "1h", "*", [], words),
        ("by/A", "1h", "*", [], words),
    ]
    found = (await server.get(f"/api/v1/points?series=by/A&series=all&{between}"))["series"]
    assert [(one["unit"], one["mean"]) for one in found if one["refused"] is None] == [
        ("*", [200, 210]),
        ("*", [20, 21, 22, 23]),
    ]


async def test_csv_is_what_export_writes(server):
    async with server.session.get(f"{server.url}/api/v1/points?series=by/B,%20Inc.&format=csv") as answer:
        lines = (await answer.text()).splitlines()
        assert answer.content_type == "text/csv"
        assert "CC BY-NC 4.0" in answer.headers["X-Licence"]
    assert lines[:2] == ["profile,series,timestamp,value", 'by,"by/B, Inc.",2026-04-30T00:00:00Z,0.5']
    assert len(lines) == 25


async def test_pages_contain_every_row_once(server):
    for name in LISTS:
        whole = (await server.get(f"/api/v1/{name}?limit=1000"))[name]
        assert whole
        for limit in (1, 2, 1000):
            assert await server.all_of(f"/api/v1/{name}?limit={limit}", name) == whole, (name, limit)


async def test_a_new_fetch_moves_no_row_to_another_page(server):
    first = await server.get("/api/v1/fetches?limit=1")
    before = await server.get(f"/api/v1/fetches?limit=5&after={first['next']}")
    await fill(server)
    assert await server.get(f"/api/v1/fetches?limit=5&after={first['next']}") == before


async def test_a_store_without_history_has_empty_lists(empty_server):
    for name in LISTS:
        found = await empty_server.get(f"/api/v1/{name}?limit=5")
        assert (bool(found[name]), found["next"]) == (name in ("profiles", "series", "gaps"), None), name


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("fetches?limt=5", 'did you mean "limit"'),
        ("fetches?limit=0", "whole number from 1 to 1000"),
        ("fetches?limit=1001", "whole number from 1 to 1000"),
        ("points?limit=10001", "whole number from 1 to 10000"),
        ("fetches?limit=٣", "whole number"),
        ("fetches?limit=1&limit=2", "given 2 times"),
        ("fetches?start=yesterday", "RFC 3339"),
        ("fetches?start=2026-01-01T00:00:00", "RFC 3339"),
        ("fetches?start=2026-02-01T00:00:00Z&end=2026-01-01T00:00:00Z", "is after end"),
        ("fetches?after=x", "not a cursor"),
        ("fetches?after=WyJhIl0", "not a cursor"),
        ("series?after=Wy0xXQ", "not a cursor"),
        ("points?after=WyJhIiwiYiIsMV0", "is not in the store"),
        ("points?format=xml", "not one of json, csv"),
        ("points?format=csv&limit=3", "cannot be combined with csv"),
        ("points?thin=3&after=WzFd", "cannot be combined with thin"),
        ("points?thin=5001", "whole number from 1 to 5000"),
        ("points?thin=5&buckets=all", "is not one of own, common"),
        ("points?buckets=common", "cannot be combined with pages"),
        ("points?series=%00", "must be printable"),
        ("status?x=1", "unknown parameter"),
    ],
)
async def test_an_invalid_request_is_rejected_with_a_sentence(empty_server, query, words):
    assert words in (await empty_server.get(f"/api/v1/{query}", 400))["error"]


@pytest.mark.parametrize("query", ["points?series=al", "points?profile=al", "fetches?profile=al", "gaps?profile=al"])
async def test_an_unknown_name_is_404_with_the_nearest(empty_server, query):
    assert 'did you mean "all"' in (await empty_server.get(f"/api/v1/{query}", 404))["error"]


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/api/v2", "/dashboard/../app.py", "/dashboard/%2e%2e/app.py", "/x"]
)
async def test_an_unknown_route_is_404(empty_server, path):
    assert await empty_server.get(path, 404) == {"error": "Not Found"}


async def test_another_method_is_refused(empty_server):
    async with empty_server.session.delete(f"{empty_server.url}/api/v1/points") as answer:
        assert (answer.status, await answer.json()) == (405, {"error": "Method Not Allowed"})


@pytest.mark.parametrize("name", [*LISTS, "points?thin=5", "points?format=csv", "status", "backfills"])
async def test_a_missing_store_is_503_and_never_an_empty_200(empty_server, tmp_path, name):
    (tmp_path / "collector.db").unlink()
    path = f"/api/v1/{name}" if "?" in name or name in ("status", "backfills") else f"/api/v1/{name}?limit=3"
    error = (await empty_server.get(path, 503))["error"]
    assert "the store does not answer" in error
    assert str(tmp_path) not in error


async def test_an_internal_error_contains_only_an_id(empty_server, monkeypatch, caplog):
    async def broken(_work):
        raise RuntimeError("SELECT secret FROM /path")

    monkeypatch.setattr(empty_server.store, "with_read_view", broken)
    error = (await empty_server.get("/api/v1/status", 500))["error"]
    assert "SELECT" not in error
    assert caplog.records[-1].id in error


async def test_with_a_token_nothing_is_read_without_it(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path, token=SERVER_TOKEN) as server:
        for path in ("/api/v1/status", "/api/v1/points", "/metrics", "/api/v1/backfills"):
            assert "token" in (await server.get(path, 401))["error"]
        await server.get("/api/v1/status", Authorization=f"Bearer {SERVER_TOKEN}")
        for path in ("/", "/dashboard/app.js", "/healthz", "/openapi.json"):
            async with server.session.get(server.url + path) as answer:
                assert answer.status == 200


async def test_with_anonymous_read_only_a_change_needs_the_token(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path, write_token=SERVER_TOKEN) as server:
        await server.get("/api/v1/status")
        order = {"start": "2026-04-01T00:00:00Z"}
        for expected, headers in ((401, {}), (201, {"Authorization": f"Bearer {SERVER_TOKEN}"})):
            async with server.session.post(f"{server.url}/api/v1/backfills", json=order, headers=headers) as answer:
                assert answer.status == expected


async def test_only_a_page_of_simulated_data_says_so(empty_server):
    settings = empty_server.service._settings
    radar = settings.radar._replace(base_url="https://api.cloudflare.com/client/v4")
    real = Daemon(replace(settings, radar=radar), empty_server.store, lambda: settings, lambda: NOW)
    async with serving(make_app(real, "127.0.0.1"), "127.0.0.1", 0) as url:
        texts = [await (await empty_server.session.get(address)).text() for address in (empty_server.url, url)]
    assert ['data-simulator="http://127.0.0.1:9"' in text for text in texts] == [True, False]
    assert "{simulator}" not in "".join(texts)


@pytest.mark.parametrize("path", ["/", "/dashboard/app.js", "/dashboard/vendor/uPlot/uPlot.iife.min.js"])
async def test_the_page_allows_no_other_origin_and_is_cached(empty_server, path):
    async with empty_server.session.get(empty_server.url + path) as answer:
        policy, tag = answer.headers["Content-Security-Policy"], answer.headers["ETag"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        assert (answer.headers["X-Content-Type-Options"], answer.headers["Referrer-Policy"]) == (
            "nosniff",
            "no-referrer",
        )
    async with empty_server.session.get(empty_server.url + path, headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


async def test_a_file_of_the_page_is_the_same_with_and_without_compression(empty_server):
    sent = {}
    for accepted in ("gzip", "identity"):
        headers = {"Accept-Encoding": accepted}
        async with empty_server.session.get(f"{empty_server.url}/dashboard/app.js", headers=headers) as answer:
            sent[accepted] = answer.headers.get("Content-Encoding"), await answer.read()
            assert answer.headers["Vary"] == "Accept-Encoding"
    assert (sent["gzip"][0], sent["identity"][0]) == ("gzip", None)
    assert sent["gzip"][1] == sent["identity"][1]


async def test_a_request_is_listed_with_all_its_windows(server):
    (_, _, first) = await server.all_of("/api/v1/fetches?limit=100", "fetches")
    assert first["windows"] == [{"start": "2026-04-30T00:00:00Z", "end": "2026-05-01T00:00:00Z"}] * 3


async def test_the_page_loads_every_module_at_once(empty_server):
    async with empty_server.session.get(f"{empty_server.url}/") as answer:
        page = await answer.text()
    modules = {file.name for file in files("collector.serve.dashboard").iterdir() if file.name.endswith(".js")}
    assert {name for name in modules if f'"dashboard/{name}"' in page} == modules
    assert "{" not in page

"""The paths beside the time series: their form by the contract, their counts by the time series itself."""

import pytest

from collector.simulator import ErrorCode

DATES = "dateStart=2026-08-01T00:00:00Z&dateEnd=2026-08-07T23:45:00Z"
SUMMARY, GROUPS = "/radar/ct/summary", "/radar/ct/timeseries_groups"


async def of(radar, path, query=DATES):
    status, document = await radar.json(query, path=path)
    assert status == 200, document
    return document["result"]


async def counts(radar, query):
    return [int(text) for text in (await radar.result(query))["serie_0"]["values"]]


async def test_it_works(serving):
    async with serving(siblings="served") as radar:
        result = await of(radar, f"{SUMMARY}/VALIDATION_LEVEL")
        assert {*result} == {"meta", "summary_0"}
        assert {*result["summary_0"]} >= {"DOMAIN", "ORGANIZATION", "EXTENDED"}
        assert "aggInterval" not in result["meta"]


async def test_groups_are_the_series_of_their_filters(serving):
    async with serving(siblings="served") as radar:
        result = await of(radar, f"{GROUPS}/CA_OWNER", f"{DATES}&aggInterval=1d&limitPerGroup=3")
        series = result["serie_0"]
        whole = (await radar.result(f"{DATES}&aggInterval=1d"))["serie_0"]
        names = [name for name in series if name not in ("timestamps", "other")]
        assert len(names) == 3
        assert series["timestamps"] == whole["timestamps"]
        for name in names:
            filtered = f"{DATES}&aggInterval=1d&caOwner={name.replace(',', '%252C').replace(' ', '%20')}"
            assert list(map(int, series[name])) == await counts(radar, filtered)
        columns = zip(*(map(int, series[name]) for name in (*names, "other")), strict=True)
        assert [sum(column) for column in columns] == list(map(int, whole["values"]))
        assert result["meta"]["aggInterval"] == "ONE_DAY"


async def test_a_summary_is_the_sum_of_its_groups(serving):
    async with serving(siblings="served") as radar:
        summed = (await of(radar, f"{SUMMARY}/CA_OWNER", f"{DATES}&tld=com"))["summary_0"]
        groups = (await of(radar, f"{GROUPS}/CA_OWNER", f"{DATES}&tld=com&aggInterval=1d"))["serie_0"]
        del groups["timestamps"]
        assert {name: int(text) for name, text in summed.items()} == {
            name: sum(map(int, texts)) for name, texts in groups.items()
        }
        assert sum(map(int, summed.values())) == sum(await counts(radar, f"{DATES}&tld=com&aggInterval=1d"))


async def test_a_filter_of_the_dimension_leaves_its_groups(serving):
    async with serving(siblings="served") as radar:
        found = await of(radar, f"{SUMMARY}/VALIDATION_LEVEL", f"{DATES}&validationLevel=DOMAIN,EXTENDED")
        assert {*found["summary_0"]} == {"DOMAIN", "EXTENDED"}


@pytest.mark.parametrize(
    ("path", "key", "field"),
    [
        ("/radar/ct/authorities", "certificateAuthorities", "sha256Fingerprint"),
        ("/radar/ct/logs", "certificateLogs", "slug"),
    ],
)
async def test_lists_come_in_pages(serving, path, key, field):
    async with serving(siblings="served") as radar:
        first = (await of(radar, path, ""))[key]
        assert len({one[field] for one in first}) == 5
        assert (await of(radar, path, "limit=2&offset=1"))[key] == first[1:3]
        assert (await of(radar, path, "offset=100000"))[key] == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (f"{SUMMARY}/NONSENSE", DATES),
        (f"{SUMMARY}/CA_OWNER", f"{DATES}&limitPerGroup=1"),
        (f"{GROUPS}/CA_OWNER", "dateRange=nonsense"),
        ("/radar/ct/logs", "limit=few"),
    ],
)
async def test_bad_parameters_are_refused(serving, path, query):
    async with serving(siblings="served") as radar:
        assert await radar.refusal(query, path=path) == (400, 2001)


@pytest.mark.parametrize("path", [SUMMARY, f"{SUMMARY}/", "/radar/ct/authorities/", "/radar/ct/log"])
async def test_other_paths_are_none(serving, path):
    async with serving(siblings="served") as radar:
        assert await radar.refusal(DATES, path=path) == (400, 7000)


async def test_they_are_refused_as_the_options_say(serving):
    path = f"{SUMMARY}/CA_OWNER"
    async with serving(siblings="no route") as radar:
        assert await radar.refusal(DATES, path=path) == (400, 7000)
    async with serving(siblings=ErrorCode(403, 10000)) as radar:
        assert await radar.refusal(DATES, path=path) == (403, 10000)
    async with serving(siblings="not found") as radar:
        assert await radar.json(DATES, path=path) == (404, {"error": "Not Found."})
        assert (await radar.json(DATES))[0] == 200

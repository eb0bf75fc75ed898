from __future__ import annotations

from datetime import timedelta

import pytest

from collector.simulator import RateLimit

DAY = "dateRange=1d"


async def test_it_works(serving):
    async with serving() as radar:
        result = await radar.result(DAY)
        assert len(result["serie_0"]["values"]) == 93


async def test_the_date_header_is_of_the_servers_clock(serving):
    async with serving() as radar:
        for query in (DAY, "dateRange=nonsense"):
            response, _ = await radar.get(query)
            assert response.headers["Date"] == "Fri, 14 Aug 2026 10:07:00 GMT"


async def test_every_request_is_on_record(serving):
    async with serving() as radar:
        await radar.json(f"{DAY}&{DAY}&name=a&name=&tld=com")
        radar.clock.now += 60
        await radar.json("dateRange=nonsense")
        first, second = radar.simulator.requests
    assert (first.at, first.method, first.path) == (radar.clock.now - 60, "GET", "/client/v4/radar/ct/timeseries")
    assert first.raw_query == f"{DAY}&{DAY}&name=a&name=&tld=com"
    assert (first.status, first.names, first.series, first.fault) == (200, ("a", "serie_1"), 2, "")
    assert first.request.series[0].query.filters == {"tld": ("com",)}
    assert (second.at, second.status, second.names, second.request) == (radar.clock.now, 400, (), None)
    assert "made-up" not in repr(first)


async def test_of_very_many_requests_the_later_ones_are_kept(serving):
    async with serving(remembered_requests=2) as radar:
        for number in range(5):
            await radar.json(f"other={number}")
        assert [asked.raw_query[-1] for asked in radar.simulator.requests] == ["2", "3", "4"]


async def test_the_clock_moves_the_newest_bucket(serving):
    async with serving() as radar:
        before = (await radar.result(DAY))["serie_0"]["timestamps"][-1]
        radar.clock.now += 900
        assert before == "2026-08-14T09:00:00Z"
        assert (await radar.result(DAY))["serie_0"]["timestamps"][-1] == "2026-08-14T09:15:00Z"


@pytest.mark.parametrize(
    "path",
    ["/radar/ct/timeserie", "/radar/ct/timeseries/", "/radar/ct", "/radar/ct/summary", "/radar/http/timeseries", ""],
)
async def test_a_wrong_path_is_400_with_7000(serving, path):
    async with serving() as radar:
        assert await radar.refusal(DAY, path=path) == (400, 7000)


async def test_another_method_is_refused(serving):
    async with serving() as radar, radar.session.post(f"{radar.url}/radar/ct/timeseries") as response:
        assert response.status == 405


@pytest.mark.parametrize(
    ("status", "code", "headers"),
    [
        (400, 9106, {}),
        (400, 6003, {"Authorization": "Bearer"}),
        (403, 10000, {"Authorization": "Bearer other"}),
    ],
)
async def test_credentials_are_checked_before_parameters(serving, status, code, headers):
    async with serving(headers=headers, token="made-up") as radar:
        response, document = await radar.json("dateRange=nonsense")
        assert (response, document["errors"][0]["code"], document["result"]) == (status, code, None)


async def test_a_malformed_header_is_explained_in_the_chain(serving):
    async with serving(headers={"Authorization": "nonsense"}) as radar:
        _, document = await radar.json(DAY)
        assert document["errors"][0]["error_chain"][0]["code"] == 6111


async def test_the_refusal_of_a_parameter_has_an_object_as_its_result(serving):
    async with serving() as radar:
        status, document = await radar.json("dateRange=nonsense")
        assert (status, document["errors"][0]["code"], document["result"]) == (400, 2001, {})


@pytest.mark.parametrize("encoded", ["DigiCert%252C%20Inc.", "DigiCert%252C+Inc."])
async def test_a_doubly_encoded_comma_arrives_as_one(serving, encoded):
    async with serving(unknown_names="refuse") as radar:
        await radar.result(f"{DAY}&caOwner={encoded}")
        assert radar.simulator.requests[0].request.series[0].query.filters == {"caOwner": ("DigiCert, Inc.",)}
        assert await radar.refusal(f"{DAY}&caOwner=DigiCert%2C%20Inc.") == (400, 2001)


async def test_a_url_of_eight_kilobytes_is_answered_and_one_byte_more_is_not(serving):
    async with serving() as radar:
        path = "/client/v4/radar/ct/timeseries?"
        query = f"{DAY}&unknown="
        fits = query + "x" * (8192 - len(path) - len(query))
        await radar.result(fits)
        response, _ = await radar.get(fits + "x")
        assert response.status == 414
    async with serving(url_bytes=100, url_error=radar.simulator.options.span_error) as radar:
        assert await radar.refusal("x" * 100) == (400, 2001)


async def test_over_the_limit_everything_is_blocked_for_five_minutes(serving):
    async with serving(rate_limit=RateLimit(3)) as radar:
        for _ in range(3):
            await radar.result(DAY)
        for path in ("/radar/ct/timeseries", "/anything"):
            response, body = await radar.get(DAY, path=path)
            assert (response.status, response.headers["Retry-After"]) == (429, "300")
            assert b'"code": 1015' in body
        radar.clock.now += 299.5
        response, _ = await radar.get(DAY)
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        radar.clock.now += 0.5
        await radar.result(DAY)
        assert [asked.status for asked in radar.simulator.requests] == [200] * 3 + [429] * 3 + [200]


async def test_refused_requests_count_against_the_limit(serving):
    async with serving(rate_limit=RateLimit(2), rate_limit_code=971) as radar:
        assert await radar.refusal("tld=X") == (400, 2001)
        assert await radar.refusal("tld=X") == (400, 2001)
        assert await radar.refusal("tld=X") == (429, 971)


async def test_every_caller_has_a_limit_of_its_own(serving):
    async with serving(rate_limit=RateLimit(1)) as radar:
        await radar.result(DAY)
        await radar.json(DAY, headers={"Authorization": "Bearer other"})
        assert [asked.status for asked in radar.simulator.requests] == [200, 200]


async def test_the_limit_can_be_off(serving):
    async with serving(rate_limit=None) as radar:
        response, _ = await radar.get(DAY)
        assert "Ratelimit" not in response.headers


@pytest.mark.parametrize(("style", "header"), [("policy", "Ratelimit"), ("x", "X-RateLimit-Remaining")])
async def test_headers_of_either_style_tell_the_limit(serving, style, header):
    async with serving(rate_headers=style) as radar:
        response, _ = await radar.get(DAY)
        assert "1199" in response.headers[header]


async def test_an_answer_is_compressed_where_that_is_accepted(serving):
    async with serving() as radar:
        packed, body = await radar.get(DAY)
        plain, same = await radar.get(DAY, headers={"Accept-Encoding": "identity"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert body == same


async def test_csv_is_served_as_such(serving):
    async with serving() as radar:
        response, body = await radar.get(f"{DAY}&format=csv")
        assert response.content_type == "text/csv"
        assert body.startswith(b"Serie_0 timestamps,Serie_0 values\n")


async def test_values_are_those_of_the_servers_clock(serving):
    async with serving(revised_for=timedelta(hours=6)) as radar:
        before = (await radar.result(DAY))["serie_0"]
        radar.clock.now += 6 * 3600
        after = (await radar.result(DAY))["serie_0"]
        old = dict(zip(before["timestamps"], before["values"], strict=True))
        new = dict(zip(after["timestamps"], after["values"], strict=True))
        revised = {at for at in old.keys() & new.keys() if old[at] != new[at]}
        assert revised
        assert min(revised) > "2026-08-14T03:00"


async def test_a_name_outside_the_catalogue_may_be_refused(serving):
    async with serving(unknown_names="refuse") as radar:
        assert await radar.refusal("caOwner=Nobody") == (400, 2001)
        await radar.result("caOwner=DigiCert%252C%20Inc.")
    async with serving() as radar:
        await radar.result("caOwner=Nobody")

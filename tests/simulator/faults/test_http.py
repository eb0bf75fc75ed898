from __future__ import annotations

import asyncio
import json

import pytest

from tests.harness import faults

DAY = "dateRange=1d"


async def _got(serving, fault):
    async with serving() as radar:
        radar.simulator.script(fault)
        return await radar.get(DAY)


async def test_any_reply_can_be_given(serving):
    response, body = await _got(serving, faults.reply(418, b"tea", {"X-Pot": "short"}))
    assert (response.status, body, response.headers["X-Pot"], response.content_type) == (
        418,
        b"tea",
        "short",
        "text/plain",
    )


@pytest.mark.parametrize("status", [200, 500, 503, 520, 526])
async def test_an_error_page_is_html(serving, status):
    response, body = await _got(serving, faults.html(status, retry_after="7"))
    assert (response.status, response.content_type, response.headers["Retry-After"]) == (status, "text/html", "7")
    assert body.startswith(b"<!DOCTYPE html>")


async def test_a_problem_is_json_of_its_own_type(serving):
    response, body = await _got(serving, faults.problem(522, retry_after="7"))
    assert (response.status, response.content_type) == (522, "application/problem+json")
    assert json.loads(body)["status"] == 522


async def test_an_error_stands_in_the_envelope(serving):
    response, body = await _got(serving, faults.api_error(500, 2000))
    assert response.status == 500
    assert json.loads(body)["errors"][0]["code"] == 2000


@pytest.mark.parametrize("text", ["7", "Fri, 14 Aug 2026 10:07:07 GMT", "-1", "soon", "1000000000", "0", "1.5"])
async def test_too_many_requests_can_name_any_time(serving, text):
    response, body = await _got(serving, faults.too_many(text))
    assert (response.status, response.headers["Retry-After"]) == (429, text)
    assert json.loads(body)["errors"][0]["code"] == 1015


async def test_too_many_requests_can_name_no_time(serving):
    response, _ = await _got(serving, faults.too_many(None, code=10100))
    assert response.status == 429
    assert "Retry-After" not in response.headers


def test_a_moment_is_written_as_an_http_date():
    assert faults.http_date(1786702027) == "Fri, 14 Aug 2026 10:07:07 GMT"


async def test_a_redirect_names_another_place(serving):
    response, _ = await _got(serving, faults.redirect("https://example.com/"))
    assert (response.status, response.headers["Location"]) == (302, "https://example.com/")


async def test_success_can_be_false_and_result_null(serving):
    response, body = await _got(serving, faults.unsuccessful())
    assert (response.status, json.loads(body)["success"]) == (200, False)
    response, body = await _got(serving, faults.null_result())
    assert (response.status, json.loads(body)["result"]) == (200, None)


async def test_an_honest_answer_can_say_that_nothing_is_left(serving):
    response, body = await _got(serving, faults.exhausted(30))
    assert response.headers["Ratelimit"] == '"default";r=0;t=30'
    assert json.loads(body)["success"] is True


async def test_an_answer_can_be_late(serving):
    async with serving() as radar:
        radar.simulator.script(faults.late(0.2), faults.late(0.2, faults.html(503)))
        began = asyncio.get_running_loop().time()
        statuses = [(await radar.get(DAY))[0].status for _ in range(2)]
        assert statuses == [200, 503]
        assert asyncio.get_running_loop().time() - began > 0.39

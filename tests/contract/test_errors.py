"""How the API words a refusal."""

import json

import pytest

from collector.contract import response
from collector.contract.response import ApiError, HttpReply, bad_request, envelope, quote


@pytest.mark.parametrize(
    ("status", "code", "name"),
    [
        (400, 2001, "BAD_REQUEST"),
        (422, 2002, "TOO_COSTLY"),
        (414, 2001, "URI_TOO_LONG"),
        (400, 9106, "NO_CREDENTIALS"),
        (400, 7000, "NO_ROUTE"),
        (405, 7001, "NO_METHOD"),
        (403, 10000, "WRONG_CREDENTIALS"),
    ],
)
def test_an_error_has_a_status_and_a_code(status, code, name):
    refusal = getattr(response, name)
    assert (refusal.status, refusal.code) == (status, code)
    reply = ApiError(refusal, "why", retry_after="7").reply()
    assert (reply.status, reply.headers, reply.content_type) == (status, {"Retry-After": "7"}, "application/json")
    assert json.loads(reply.body)["errors"] == [{"code": code, "message": "why"}]


@pytest.mark.parametrize(("result", "code"), [(None, 1999), ({}, 2000), ({}, 2999), (None, 3000)])
def test_the_result_of_an_error_is_empty_or_null(result, code):
    expected = {"success": False, "errors": [{"code": code, "message": "why"}], "messages": [], "result": result}
    assert json.loads(envelope(code, "why")) == expected


def test_an_error_may_have_a_chain_and_no_retry_after():
    reply = ApiError(response.NO_CREDENTIALS, "why", chain=((6111, "inner"),)).reply()
    error = {"code": 9106, "message": "why", "error_chain": [{"code": 6111, "message": "inner"}]}
    assert (json.loads(reply.body)["errors"], reply.headers) == ([error], {})
    assert (HttpReply().status, HttpReply().body, HttpReply().headers) == (200, b"", {})
    assert (bad_request("why").error_code, bad_request("why").message, str(bad_request("why"))) == (
        response.BAD_REQUEST,
        "why",
        "why",
    )


@pytest.mark.parametrize(("expected", "length"), [("'" + "x" * 80 + "'", 80), ("'" + "x" * 80 + "…'", 81)])
def test_what_was_received_is_quoted_up_to_80_characters(expected, length):
    assert quote("x" * length) == expected

from __future__ import annotations

from datetime import timedelta

import pytest

from collector.contract.response import ApiError, ErrorCode
from collector.simulator import RateLimit, SimulatorOptions
from collector.simulator.gateway import RateLimiter, caller_id, check_credentials


def _refusal(headers, **options):
    with pytest.raises(ApiError) as refused:
        check_credentials(headers, SimulatorOptions(**options))
    chain = refused.value.chain[0][0] if refused.value.chain else None
    return refused.value.error_code.status, refused.value.error_code.code, chain


BEARER = {"Authorization": "Bearer abc"}
KEY = {"X-Auth-Email": "a@b.example", "X-Auth-Key": "k"}


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        (BEARER, {}),
        ({"Authorization": "bearer abc"}, {}),
        (KEY, {}),
        (BEARER, {"token": "abc"}),
        (KEY, {"email_and_key": ("a@b.example", "k")}),
        (KEY, {"email_and_key": ("a@b.example", "k"), "token": "abc"}),
        (BEARER | KEY, {"token": "abc"}),
    ],
)
def test_good_credentials_of_both_kinds_are_accepted(headers, options):
    check_credentials(headers, SimulatorOptions(**options))


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Email": "a@b.example"}, {"X-Auth-Key": "k"}])
def test_missing_credentials_are_9106(headers):
    assert _refusal(headers) == (400, 9106, None)


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        (6111, {"Authorization": "abc"}),
        (6111, {"Authorization": "Basic abc"}),
        (6111, {"Authorization": "Bearer "}),
        (6111, {"Authorization": "Bearer a b"}),
        (6111, {"Authorization": ""}),
        (6102, KEY | {"X-Auth-Email": "nobody"}),
        (6103, KEY | {"X-Auth-Key": "a b"}),
    ],
)
def test_malformed_credentials_are_6003_with_the_reason_in_the_chain(code, headers):
    assert _refusal(headers) == (400, 6003, code)


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        (BEARER, {"token": "other"}),
        (KEY, {"token": "abc"}),
        (BEARER, {"email_and_key": ("a@b.example", "k")}),
        (KEY, {"email_and_key": ("a@b.example", "other")}),
    ],
)
def test_wrong_credentials_are_10000(headers, options):
    assert _refusal(headers, **options) == (403, 10000, None)
    assert _refusal(headers, **options, wrong_credentials=ErrorCode(401, 9109)) == (401, 9109, None)


def test_callers_are_told_apart_without_their_credentials():
    assert caller_id(BEARER) == caller_id(dict(BEARER))
    assert len({caller_id(headers) for headers in (BEARER, KEY, {}, BEARER | KEY)}) == 4
    assert "abc" not in caller_id(BEARER)


def test_options_do_not_show_the_token():
    assert "secret" not in repr(SimulatorOptions(token="secret", email_and_key=("a", "secret")))


LIMIT = RateLimit(3, timedelta(seconds=300), timedelta(seconds=300))


def test_a_request_too_many_in_any_window_blocks_for_five_minutes():
    limiter = RateLimiter(LIMIT)
    assert [limiter.blocked_for(at) for at in (0, 100, 200, 299)] == [None, None, None, 300]
    assert [limiter.blocked_for(at) for at in (300, 598.5)] == [299, 0.5]
    assert [limiter.blocked_for(at) for at in (599, 600, 601)] == [None, None, None]


def test_a_window_slides():
    limiter = RateLimiter(LIMIT)
    assert [limiter.blocked_for(at) for at in (0, 100, 200, 300, 400, 500)] == [None] * 6


def test_headers_tell_what_is_left():
    limiter = RateLimiter(LIMIT)
    limiter.blocked_for(0)
    policy = {"Ratelimit": '"default";r=2;t=290', "Ratelimit-Policy": '"default";q=3;w=300'}
    assert limiter.headers("policy", 10) == policy
    older = {"X-RateLimit-Limit": "3", "X-RateLimit-Remaining": "2", "X-RateLimit-Reset": "290"}
    assert limiter.headers("x", 10) == older
    assert limiter.headers("none", 10) == {}

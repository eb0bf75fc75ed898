"""The error that a response without data stands for."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from collector.radar.classify import BLOCK, classify_response, parse_retry_after
from collector.radar.errors import Misdirected, RateLimited, Refused, TooCostly, Unauthorized, Unavailable

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HTML = b"<html><body>error 520</body></html>"


def envelope(code=None, message="said so", chain=None):
    error = {"message": message} | ({"code": code} if code else {}) | ({"error_chain": chain} if chain else {})
    return json.dumps({"success": False, "errors": [error], "result": None}).encode()


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        (Refused, 400, envelope(2001)),
        (Refused, 400, envelope()),
        (TooCostly, 422, envelope(2002)),
        (TooCostly, 400, envelope(2002)),
        (TooCostly, 414, HTML),
        (Unauthorized, 400, envelope(9106)),
        (Unauthorized, 400, envelope(6003, chain=[{"code": 6111, "message": "Invalid format"}])),
        (Unauthorized, 401, envelope(10000)),
        (Unauthorized, 403, envelope(9109)),
        (Unauthorized, 403, envelope()),
        (Misdirected, 400, envelope(7000)),
        (Misdirected, 404, b'{"error":"Not Found."}'),
        (RateLimited, 429, HTML),
        (RateLimited, 400, envelope(971)),
        (RateLimited, 429, envelope(1015)),
        (Unavailable, 500, envelope(2000)),
        (Unavailable, 503, HTML),
        (Unavailable, 520, b'{"type":"about:blank","title":"Web server error","status":520}'),
        (Unavailable, 403, HTML),
        (Unavailable, 400, HTML),
        (Unavailable, 302, b""),
        (Unavailable, 200, HTML),
        (Unavailable, 502, b"[" * 100_000),
        (Unavailable, 500, b'{"errors": [3, {"code": "x"}, null]}'),
    ],
)
def test_the_code_decides_before_the_status(kind, status, body):
    assert type(classify_response(status, {}, body, NOW)) is kind


def test_the_message_of_the_api_is_shown_on_one_line():
    error = classify_response(400, {}, envelope(2001, "bad\n\x1b[31mvalue"), NOW)
    assert str(error) == "HTTP 400: bad  [31mvalue"
    assert (error.status, error.code) == (400, 2001)


@pytest.mark.parametrize(
    ("expected", "status", "content_type", "body"),
    [
        ("HTTP 503 with text/html instead of an answer", 503, "text/html; charset=utf-8", HTML),
        ("HTTP 200 with text/html instead of an answer", 200, "text/html", HTML),
        ("HTTP 502 with something instead of an answer", 502, None, b"bad gateway"),
        ("HTTP 302, a redirect, which is not followed", 302, "text/html", HTML),
        ("HTTP 500 without a body", 500, "application/json", b""),
        ("HTTP 500 without a message", 500, "application/json", b"{}"),
        ("HTTP 404: Not Found.", 404, "application/json", b'{"error":"Not Found."}'),
    ],
)
def test_a_response_without_a_message_is_described_by_its_content(expected, status, content_type, body):
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert str(classify_response(status, headers, body, NOW)) == expected


@pytest.mark.parametrize(
    ("expected", "header"),
    [
        (NOW + timedelta(seconds=7), "7"),
        (NOW, "0"),
        (NOW + timedelta(seconds=30), "Sun, 01 Mar 2026 12:00:30 GMT"),
        (NOW, "Sun, 01 Mar 2020 12:00:30 GMT"),
        (NOW + timedelta(days=1), "1000000000"),
        (NOW + timedelta(days=1), "9" * 18),
        (None, "1e9"),
        (None, "soon"),
        (None, "-5"),
        (None, ""),
        (None, None),
    ],
)
def test_retry_after_is_read_as_a_moment(expected, header):
    assert parse_retry_after(header, NOW) == expected


def test_a_429_that_names_no_time_means_the_block_of_five_minutes():
    assert classify_response(429, {"Retry-After": "garbage"}, b"", NOW).not_before == NOW + BLOCK


def test_a_503_may_name_a_time_too():
    assert classify_response(503, {"Retry-After": "9"}, HTML, NOW).not_before == NOW + timedelta(seconds=9)


CREDENTIALS = (6003, 6111, 9103, 9106, 9109, 10000, 10001)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        *((Unauthorized, code) for code in CREDENTIALS),
        *((RateLimited, code) for code in (971, 1015, 10100)),
        *((Misdirected, code) for code in (7000, 7003)),
        (Refused, 2001),
        (TooCostly, 2002),
        (Unavailable, 2000),
    ],
)
def test_a_code_means_the_same_with_any_status_at_any_place(kind, code):
    inner = envelope(1, chain=[{"code": code, "message": "inner"}])
    for body in (envelope(code), inner):
        error = classify_response(500, {}, body, NOW)
        assert (type(error), error.status) == (kind, 500)
    assert (classify_response(500, {}, envelope(code), NOW).code, error.code) == (code, 1)


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        (TooCostly, 413, HTML),
        (TooCostly, 422, b""),
        (Misdirected, 404, HTML),
        (Misdirected, 405, b""),
        (Misdirected, 410, b""),
        (Unauthorized, 401, b"{}"),
        (Unauthorized, 403, b"{}"),
        (Unavailable, 401, HTML),
        (Refused, 400, b"{}"),
        (Unavailable, 400, b"[]"),
        (RateLimited, 429, envelope(2001)),
        (Unauthorized, 422, envelope(9109)),
        (Misdirected, 422, envelope(7003)),
    ],
)
def test_without_a_known_code_the_status_decides(kind, status, body):
    error = classify_response(status, {}, body, NOW)
    assert (type(error), error.status) == (kind, status)


@pytest.mark.parametrize(
    ("message", "document"),
    [
        (
            "one; two; inner",
            {"errors": [{"message": "one", "error_chain": [{"message": "inner"}]}, {"message": "two"}]},
        ),
        ("detail", {"errors": [], "detail": "detail", "title": "title", "error": "error"}),
        ("title", {"errors": {"message": "no list"}, "title": "title", "error": "error"}),
        ("error", {"error": "error", "detail": ""}),
        ("7", {"errors": [{"message": 7, "error_chain": {"message": "no list"}}]}),
        ("x" * 300, {"detail": "x" * 301}),
    ],
)
def test_the_messages_of_a_reply_are_shown_in_order(message, document):
    assert str(classify_response(500, {}, json.dumps(document).encode(), NOW)) == f"HTTP 500: {message}"


@pytest.mark.parametrize(
    ("expected", "header"),
    [
        (NOW + timedelta(days=1), "86400"),
        (NOW + timedelta(seconds=86_399), "86399"),
        (NOW + timedelta(days=1), "Tue, 03 Mar 2026 12:00:00 GMT"),
        (NOW + timedelta(hours=2), "Sun, 01 Mar 2026 15:00:00 +0100"),
        (NOW + timedelta(seconds=9), " 9 "),
        (None, "Sun, 01 Mar 2026 12:00:30 -0000"),
        (None, "9" * 19),
    ],
)
def test_a_wait_is_a_day_at_most_and_its_date_needs_a_zone(expected, header):
    assert parse_retry_after(header, NOW) == expected


def test_the_block_after_the_rate_limit_lasts_five_minutes():
    assert timedelta(minutes=5) == BLOCK
    assert classify_response(400, {"Retry-After": "9"}, envelope(971), NOW).not_before == NOW + timedelta(seconds=9)

"""Answers about the catalogue: nothing in them is trusted, unknown keys and words stay."""

import json
from datetime import UTC, datetime

import pytest

from collector.datasets.catalogue import AUTHORITIES, LOGS, is_safe_slug
from collector.radar.catalogue import read_details, read_page
from collector.radar.client import RadarResponse
from collector.radar.errors import Misdirected, NotFound, Refused, Unauthorized, Unavailable, Untrusted

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def response(content, status=200):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return RadarResponse(status, {}, body, NOW)


def page(*rows):
    return response({"success": True, "result": {"certificateLogs": list(rows)}})


def test_it_works():
    read = read_page(page({"slug": "b", "new": [1, None], "state": "ODD"}, {"slug": "a"}, {"slug": "b"}), LOGS)
    assert [(entry.slug, entry.content) for entry in read.entries] == [
        ("b", '{"new":[1,null],"slug":"b","state":"ODD"}'),
        ("a", '{"slug":"a"}'),
    ]
    assert (read.keys, read.unreadable) == (("b", "a", "b"), set())


ROW = {"slug": "a", "state": "USABLE", "submittedCertCount": "7", "new": 1}
UPPER = {"SLUG": "a", "STATE": "USABLE", "SUBMITTEDCERTCOUNT": "7", "new": 1}


@pytest.mark.parametrize(
    "result",
    [
        [ROW],
        {"certificate_logs": [ROW]},
        {"logs": [ROW], "total": 1, "links": []},
        {"CertificateLogs": [UPPER]},
    ],
)
def test_a_list_is_found_under_another_key(result):
    (entry,) = read_page(response({"result": result}), LOGS).entries
    assert (entry.slug, json.loads(entry.content)["state"]) == ("a", "USABLE")


@pytest.mark.parametrize(
    "result",
    [
        ROW,
        [ROW],
        {"log": ROW},
        {"certificate_log": UPPER},
        {"certificateLog": {**ROW, "slug": "A"}},
    ],
)
def test_details_are_found_under_another_key(result):
    details = read_details(response({"success": "true", "result": result}), LOGS, "a")
    assert (details.slug, details.measures) == ("a", '{"submittedCertCount":"7"}')
    assert json.loads(details.content).items() >= {"state": "USABLE", "new": 1}.items()


def test_of_several_lists_none_is_chosen():
    with pytest.raises(Untrusted, match="no list certificateLogs"):
        read_page(response({"result": {"a": [ROW], "b": [ROW]}}), LOGS)
    with pytest.raises(Untrusted, match="not of a"):
        read_details(response({"result": {"a": ROW, "b": ROW}}), LOGS, "a")


@pytest.mark.parametrize("slug", [None, 7, "", " a", "a\nb", "x" * 101, ["a"]])
def test_an_entry_without_a_usable_slug_is_left_out(slug):
    read = read_page(page({"slug": slug}, "text", None, {"slug": "ok"}, {"slug": "big", "x": "y" * 70_000}), LOGS)
    assert [entry.slug for entry in read.entries] == ["ok"]
    assert len(read.unreadable) == 4


@pytest.mark.parametrize(
    ("content", "status", "error"),
    [
        (b"{", 200, Unavailable),
        (b"<html>", 200, Unavailable),
        ({"success": True, "result": None}, 200, Untrusted),
        ({"success": True, "result": {"certificateLogs": {}}}, 200, Untrusted),
        ({"success": True, "result": {"certificateLogs": [{"slug": ""}]}}, 200, Untrusted),
        (b'{"result":{"certificateLogs":[{"slug":"a","x":1e999}]}}', 200, Untrusted),
        (b"[" * 100_000, 200, Unavailable),
        ({"success": False, "errors": [{"code": 2001, "message": "limit"}]}, 400, Refused),
        ({"success": False, "errors": [{"code": 10000}]}, 200, Unauthorized),
        ({"success": "false", "result": {"certificateLogs": [{"slug": "a"}]}}, 200, Unavailable),
        ({"error": "Not Found."}, 404, Misdirected),
    ],
)
def test_what_is_no_page_is_an_error(content, status, error):
    with pytest.raises(error):
        read_page(response(content, status), LOGS)


def test_details_are_split_from_their_measures():
    item = {"slug": "a", "state": "USABLE", "performance": None, "submittedCertCount": "7"}
    details = read_details(response({"result": {"certificateLog": item}}), LOGS, "a")
    assert details.content == '{"slug":"a","state":"USABLE"}'
    assert details.measures == '{"performance":null,"submittedCertCount":"7"}'
    authority = {"result": {"certificateAuthority": {"sha256Fingerprint": "AB"}}}
    assert read_details(response(authority), AUTHORITIES, "AB").measures is None


def test_an_unknown_slug_is_told_from_a_wrong_path():
    for content in ({"error": "Not Found."}, {"success": False, "errors": [{"code": 7003, "message": "?"}]}):
        with pytest.raises(NotFound):
            read_details(response(content, 404), LOGS, "a")
    for content, status in ((b"<html>", 404), ({"success": False, "errors": [{"code": 7000}]}, 400)):
        with pytest.raises(Misdirected):
            read_details(response(content, status), LOGS, "a")
    with pytest.raises(Untrusted, match="'b', not of a"):
        read_details(response({"result": {"certificateLog": {"slug": "b"}}}), LOGS, "a")


def test_a_slug_that_would_be_another_path_is_not_safe():
    assert is_safe_slug("argon2026h1")
    assert not any(map(is_safe_slug, ["..", ".", "a/b", "a?b", "", "a b", "%2e%2e"]))

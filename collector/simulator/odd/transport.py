"""Variations of the envelope, of the text of the JSON, and of HTTP."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collector.simulator.odd.variation import Draft, Variation

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.contract.response import HttpReply
    from collector.simulator.odd.variation import Verdict

_BOM = b"\xef\xbb\xbf"
_PAGE = b"<!DOCTYPE html><html><body>Just a moment</body></html>"
_PROBLEM = {"code": 1000, "message": "beside an answer"}
_DEPTH = 50_000
_JSON_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')


def _with(**members: Any) -> Callable[[Draft], None]:
    return lambda draft: draft.document.update(members)


def _without(key: str) -> Callable[[Draft], None]:
    return lambda draft: draft.document.pop(key, None)


def _bare(draft: Draft) -> None:
    result = draft.document.pop("result")
    draft.document.clear()
    draft.document.update(result)


def _renamed(draft: Draft) -> None:
    draft.document["data"] = draft.document.pop("result")


_ENVELOPE: tuple[tuple[str, str, Verdict, str, Callable[[Draft], object]], ...] = (
    ("errors-absent", "No errors", "take", "envelope.errors", _without("errors")),
    ("errors-null", "errors is null", "take", "envelope.errors", _with(errors=None)),
    ("errors-filled", "errors beside success: true", "take", "envelope.errors", _with(errors=[_PROBLEM])),
    ("messages-null", "messages is null", "take", "envelope.messages", _with(messages=None)),
    ("messages-filled", "messages are there", "take", "envelope.messages", _with(messages=["x", _PROBLEM])),
    ("envelope-more-keys", "Keys that nobody knows", "take", "envelope.more", _with(result_info={"page": 1}, x=None)),
    ("success-absent", "No success", "take", "envelope.success", _without("success")),
    ("success-null", "success is null", "take", "envelope.success", _with(success=None)),
    ("success-text", "success is a text", "take", "envelope.success", _with(success="true")),
    ("success-number", "success is 1", "take", "envelope.success", _with(success=1)),
    ("success-false", "success is false", "refuse", "envelope.success", _with(success=False)),
    ("success-false-text", "success is the text false", "refuse", "envelope.success", _with(success="false")),
    ("envelope-absent", "No envelope: meta and series alone", "take", "envelope result", _bare),
    ("envelope-data", "data in place of result", "take", "envelope.result", _renamed),
)


def _indented(body: bytes) -> bytes:
    """Add blanks and new lines between the parts."""
    return body.replace(b'":', b'" :\n\t').replace(b',"', b',\r\n  "')


def _escaped(body: bytes) -> bytes:
    """Write letters and slashes of all texts as escapes."""
    return _JSON_TEXT.sub(lambda text: text[0].replace(b"/", b"\\/").replace(b"s", b"\\u0073"), body)


def _twice_a_key(body: bytes) -> bytes:
    end = body.rindex(b"}")
    return body[:end] + b',"result":{}}'


def _deep(body: bytes) -> bytes:
    end = body.rindex(b"}")
    return body[:end] + b',"deep":' + b"[" * _DEPTH + b"]" * _DEPTH + b"}"


_TEXT: tuple[tuple[str, str, Verdict, Callable[[bytes], bytes]], ...] = (
    ("json-byte-order-mark", "a byte-order mark in front", "take", lambda body: _BOM + body),
    ("json-indented", "blanks and new lines between all parts", "take", _indented),
    ("json-blanks", "blanks and new lines around", "take", lambda body: b"\r\n \t" + body + b"\n\n "),
    ("json-mark-and-blanks", "a byte-order mark, then new lines", "take", lambda body: _BOM + b"\n" + body + b"\n"),
    ("json-equal-keys", "two equal keys", "refuse", _twice_a_key),
    ("json-truncated", "cut off in the middle", "refuse", lambda body: body[: len(body) // 2]),
    ("json-trailing", "something behind it", "refuse", lambda body: body + b"}"),
    ("json-twice", "two documents", "refuse", lambda body: body + b"\n" + body),
    ("json-comma", "a comma too many", "refuse", lambda body: body[:-1] + b",}"),
    ("json-comment", "a comment", "refuse", lambda body: b"/* x */" + body),
    ("json-single-quotes", "single quotes", "refuse", lambda body: body.replace(b'"', b"'")),
    ("json-callback", "a call around it", "refuse", lambda body: b"callback(" + body + b")"),
    ("json-guard", "a guard in front", "refuse", lambda body: b")]}',\n" + body),
    ("json-utf-16", "UTF-16", "refuse", lambda body: body.decode().encode("utf-16")),
    ("json-bad-utf-8", "a byte that UTF-8 does not have", "refuse", lambda body: body.replace(b"{", b'{"\xff":1,', 1)),
    ("json-deep", "nested too deeply", "refuse", _deep),
    ("json-list", "a list around the envelope", "refuse", lambda body: b"[" + body + b"," + body + b"]"),
    ("html", "an HTML page in place of JSON", "refuse", lambda _: _PAGE),
    ("nothing", "an empty body", "refuse", lambda _: b""),
)


def _status(status: int) -> Callable[[HttpReply], HttpReply]:
    return lambda reply: replace(reply, status=status)


def _type(content_type: str) -> Callable[[HttpReply], HttpReply]:
    return lambda reply: replace(reply, content_type=content_type)


def _headers(**fields: str) -> Callable[[HttpReply], HttpReply]:
    headers = {name.replace("_", "-"): text for name, text in fields.items()}
    return lambda reply: replace(reply, headers={**reply.headers, **headers})


def _encoded(encoding: str, encode: Callable[[bytes], bytes]) -> Callable[[HttpReply], HttpReply]:
    """Encode the body, and name the encoding *encoding*."""
    return lambda reply: replace(
        reply, body=encode(reply.body), headers={**reply.headers, "Content-Encoding": encoding}
    )


def _two_members(body: bytes) -> bytes:
    half = len(body) // 2
    return gzip.compress(body[:half], 1) + gzip.compress(body[half:], 1)


def _bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, 1)


_HTTP: tuple[tuple[str, str, Verdict, str, Callable[[HttpReply], HttpReply]], ...] = (
    ("status-203", "Status 203", "take", "http.status", _status(203)),
    ("status-206", "Status 206, and all of it", "take", "http.status", _status(206)),
    ("type-text", "Content-Type text/plain", "take", "http.type", _type("text/plain")),
    ("type-html", "Content-Type text/html", "take", "http.type", _type("text/html; charset=UTF-8")),
    ("type-binary", "Content-Type application/octet-stream", "take", "http.type", _type("application/octet-stream")),
    ("type-charset", "A charset that is not true", "take", "http.type", _type("application/json; charset=iso-8859-1")),
    ("type-problem", "Content-Type application/problem+json", "take", "http.type", _type("application/problem+json")),
    ("header-cookie", "A cookie", "take", "http.cookie", _headers(Set_Cookie="a=b; Path=/")),
    (
        "header-etag",
        "An ETag",
        "take",
        "http.etag",
        _headers(ETag='W/"1"', Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT"),
    ),
    ("header-age", "An Age, as of a cache", "take", "http.age", _headers(Age="300", CF_Cache_Status="HIT")),
    ("encoding-identity", "Not compressed, and said so", "take", "http.encoding", _encoded("identity", bytes)),
    ("encoding-gzip-members", "gzip of two members", "take", "http.encoding", _encoded("gzip", _two_members)),
    ("encoding-x-gzip", "x-gzip", "take", "http.encoding", _encoded("x-gzip", _gzip)),
    ("encoding-upper", "GZIP in capitals", "take", "http.encoding", _encoded("GZIP", _gzip)),
    ("encoding-deflate", "deflate as HTTP means it", "take", "http.encoding", _encoded("deflate", zlib.compress)),
    (
        "encoding-bare-deflate",
        "deflate as some servers send it",
        "take",
        "http.encoding",
        _encoded("deflate", _bare_deflate),
    ),
    (
        "encoding-twice",
        "gzip twice, and said so",
        "take",
        "http.encoding",
        _encoded("gzip, gzip", lambda body: _gzip(_gzip(body))),
    ),
    (
        "encoding-twice-unsaid",
        "gzip twice, said once",
        "take",
        "http.encoding",
        _encoded("gzip", lambda body: _gzip(_gzip(body))),
    ),
    ("encoding-unsaid", "gzip that is called identity", "take", "http.encoding", _encoded("identity", _gzip)),
    ("encoding-plain", "Not compressed, but called gzip", "take", "http.encoding", _encoded("gzip", bytes)),
    (
        "encoding-padded",
        "gzip with zeros behind",
        "take",
        "http.encoding",
        _encoded("gzip", lambda body: _gzip(body) + b"\0" * 600),
    ),
    ("encoding-utf-8", "Content-Encoding utf-8, which is none", "take", "http.encoding", _encoded("utf-8", bytes)),
    (
        "encoding-brotli",
        "br, which was not asked for",
        "refuse",
        "http.encoding",
        _encoded("br", lambda body: b"\x8b" + body),
    ),
    (
        "encoding-broken",
        "gzip that is cut off",
        "refuse",
        "http.encoding",
        _encoded("gzip", lambda body: _gzip(body)[:-20]),
    ),
)

ENVELOPE = tuple(
    Variation(name, "envelope", line, verdict, part, change) for name, line, verdict, part, change in _ENVELOPE
)
TEXT = (
    *(
        Variation(name, "JSON", f"JSON: {line}", verdict, "json", rewrite=rewrite)
        for name, line, verdict, rewrite in _TEXT
    ),
    Variation("json-escaped", "JSON", "JSON: letters and slashes as escapes", "take", "json.letters", rewrite=_escaped),
)
HTTP = tuple(Variation(name, "HTTP", line, verdict, part, resend=resend) for name, line, verdict, part, resend in _HTTP)

"""Faults of HTTP and of the envelope: another status, another body, other headers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from email.utils import format_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from collector.contract.response import HttpReply, envelope
from collector.simulator.faults import Fault, instead, unchanged
from collector.timestamps import from_epoch
from tests.harness.faults import network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>Error {0}</h1><p>cloudflare</p></body></html>"


def reply(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, content_type: str = "text/plain"
) -> Fault:
    """Answer this and nothing else."""
    return instead(f"reply {status}", HttpReply(status, body, headers or {}, content_type))


def html(status: int = 503, retry_after: str | None = None) -> Fault:
    """Answer an error page, as the edge does; with 200 it pretends to be an answer."""
    page = _PAGE.format(status).encode()
    return instead(f"html {status}", HttpReply(status, page, _retry(retry_after), "text/html; charset=UTF-8"))


def problem(status: int = 503, retry_after: str | None = None) -> Fault:
    """Answer a problem document (RFC 9457), as the edge does when JSON is accepted."""
    body: dict[str, Any] = {"type": "about:blank", "title": "Error", "status": status, "retryable": True}
    if retry_after is not None:
        body["retry_after"] = retry_after
    content_type = "application/problem+json"
    return instead(f"problem {status}", HttpReply(status, json.dumps(body).encode(), _retry(retry_after), content_type))


def api_error(status: int, code: int, message: str = "Refused", retry_after: str | None = None) -> Fault:
    """Answer an error in the envelope: 400/2001, 422/2002, 500/2000, 403/10000 and so on."""
    return instead(f"error {code}", HttpReply(status, envelope(code, message), _retry(retry_after)))


def too_many(retry_after: str | None = "300", code: int = 1015) -> Fault:
    """Answer 429 with any text as `Retry-After`: seconds, a date (see `http_date`), nonsense; None leaves it out."""
    return api_error(429, code, "Rate limited. Please wait and consider throttling your request speed", retry_after)


def http_date(moment: float) -> str:
    """Write epoch seconds as an HTTP date, for `Retry-After`."""
    return format_datetime(from_epoch(moment), usegmt=True)


def redirect(location: str, status: int = 302) -> Fault:
    """Send the caller elsewhere."""
    return instead(f"redirect {status}", HttpReply(status, b"", {"Location": location}, "text/html"))


def unsuccessful() -> Fault:
    """Answer 200 with `success: false`."""
    body = envelope(2000, "Internal error")
    return instead("unsuccessful", HttpReply(200, body))


def null_result() -> Fault:
    """Answer 200 with `result: null`."""
    return instead("null result", HttpReply(200, b'{"success":true,"errors":[],"messages":[],"result":null}'))


def headers(fields: Mapping[str, str]) -> Fault:
    """Answer honestly with other headers."""
    return Fault("headers", lambda unchanged: replace(unchanged, headers={**unchanged.headers, **fields}))


def exhausted(reset: int = 30) -> Fault:
    """Answer honestly, and say that no request is left for *reset* seconds."""
    return headers({"Ratelimit": f'"default";r=0;t={reset}', "X-RateLimit-Remaining": "0"})


def late(seconds: float, then: Fault | None = None) -> Fault:
    """Answer after so many seconds, honestly or with another fault."""
    inner = then or Fault("honest")

    async def deliver(request: web.Request, answer: HttpReply) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await inner.deliver(request, answer)

    return Fault(f"late {seconds:g} s, {inner.name}", inner.reply, deliver, inner.needs_json)


def truncated() -> Fault:
    """Send half of the promised length and close."""
    return Fault("truncated", unchanged, network.truncated)


def truncated_chunk() -> Fault:
    """Send half of a chunk and close."""
    return Fault("truncated chunk", unchanged, network.truncated_chunk)


def closed() -> Fault:
    """Close the connection without an answer."""
    return Fault("closed", unchanged, network.closed)


def reset_in_header() -> Fault:
    """Reset the connection in the middle of the header."""
    return Fault("reset in header", unchanged, network.reset_in_header)


def reset_in_body() -> Fault:
    """Reset the connection in the middle of the body."""
    return Fault("reset in body", unchanged, network.reset_in_body)


def black_hole() -> Fault:
    """Never answer."""
    return Fault("black hole", unchanged, network.black_hole)


def drip(seconds: float = 1.0) -> Fault:
    """Send one byte every so many seconds."""
    return Fault(f"drip {seconds:g} s", unchanged, partial(network.dripped, seconds=seconds))


def _retry(after: str | None) -> dict[str, str]:
    return {} if after is None else {"Retry-After": after}

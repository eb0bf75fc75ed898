"""The error that a response without data stands for. The API's error code decides; the HTTP status decides without one.

It also reads what the headers say: when to retry, and how far our clock differs. Our own credentials are removed from
every text that a server sends back.

Sources: https://developers.cloudflare.com/fundamentals/api/reference/limits/ and responses of other Radar endpoints.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as percent_encoded

import aiohttp

from collector.errors import os_error_text
from collector.radar.errors import (
    InFuture,
    Misdirected,
    RadarError,
    RateLimited,
    Refused,
    TooCostly,
    Unauthorized,
    Unavailable,
)
from collector.radar.request import SLOT
from collector.rules.clock_difference import NAMED_FROM, sample
from collector.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.model import Batch
    from collector.rules.clock_difference import ClockSample

_CREDENTIALS = frozenset({6003, 6111, 9103, 9106, 9109, 10000, 10001})
_RATE = frozenset({971, 1015, 10100})
_TOO_COSTLY = 2002
_BAD_PARAMETER = 2001
_NO_SUCH_PATH = frozenset({7000, 7003})

BLOCK = timedelta(minutes=5)
"""How long Cloudflare refuses every call after its limit was passed; assumed where a 429 names no time."""
_MAX_WAIT = timedelta(days=1)  # a longer wait is a mistake of the server
_MAX_MESSAGE_LENGTH = 300
_MAX_QUOTE_LENGTH = 40


def classify_response(status: int, headers: Mapping[str, str], body: bytes | None, now: datetime) -> RadarError:
    """Return the error for a response without data; *body* is None if it could not be read.

    *now* is the moment at which the headers arrived. `Retry-After` counts from it.
    """
    codes, message = _parse_errors(body or b"")
    code = codes[0] if codes else None
    text = f"HTTP {status}{_describe(status, headers, body, message)}"
    not_before = parse_retry_after(headers.get("Retry-After"), now, parse_http_date(headers.get("Date")))
    if status == HTTPStatus.TOO_MANY_REQUESTS or _RATE & {*codes}:
        return RateLimited(text, status=status, code=code, not_before=not_before or now + BLOCK)
    kind = _error_class(status, codes, is_json=message is not None if body is not None else not _is_html(headers))
    if kind is Unavailable:
        return Unavailable(text, status=status, code=code, not_before=not_before)
    return kind(text, status=status, code=code)


def _is_html(headers: Mapping[str, str]) -> bool:
    return "html" in headers.get("Content-Type", "").lower()


def _describe(status: int, headers: Mapping[str, str], body: bytes | None, message: str | None) -> str:
    """Return the text behind the status for people: the API's own message, or what came instead of one."""
    if message:
        return f": {message}"
    if status // 100 == 3:  # noqa: PLR2004 - HTTP's class of redirects
        return ", a redirect, which is not followed"
    if body is None:
        return ", and its body cannot be read"
    if not body:
        return " without a body"
    kind = sanitize(headers.get("Content-Type", "something").partition(";")[0])
    return " without a message" if message is not None else f" with {kind} instead of an answer"


def _error_class(status: int, codes: list[int], *, is_json: bool) -> type[RadarError]:
    if _CREDENTIALS & {*codes}:
        return Unauthorized
    if _NO_SUCH_PATH & {*codes}:
        return Misdirected
    if _TOO_COSTLY in codes:
        return TooCostly
    if _BAD_PARAMETER in codes:
        return Refused
    return _error_class_by_status(status, is_json=is_json)


def _error_class_by_status(status: int, *, is_json: bool) -> type[RadarError]:
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN if is_json:
            return Unauthorized
        case HTTPStatus.UNPROCESSABLE_ENTITY | HTTPStatus.REQUEST_URI_TOO_LONG | HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return TooCostly
        case HTTPStatus.BAD_REQUEST if is_json:
            return Refused
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE | HTTPStatus.METHOD_NOT_ALLOWED:
            return Misdirected
        case _:
            return Unavailable


def parse_retry_after(header: str | None, now: datetime, date: datetime | None = None) -> datetime | None:
    """Parse `Retry-After`, seconds or an HTTP date, as a moment not before *now*; None if it is absent or unreadable.

    An HTTP date counts from the *date* of the same response if there is one, because our clock may be wrong. A wait of
    more than a day is a mistake of the server and is cut to one day.
    """
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,18}", text):
        return now + min(timedelta(seconds=min(int(text), 10**9)), _MAX_WAIT)
    moment = parse_http_date(text)
    if moment is None:
        return None
    if date is not None and timedelta(0) <= moment - date <= _MAX_WAIT:
        return now + (moment - date)
    return min(max(moment, now), now + _MAX_WAIT)


def parse_http_date(header: str | None) -> datetime | None:
    """Parse an HTTP date; None for anything else, and for a date without a time zone."""
    try:
        moment = parsedate_to_datetime(header or "")
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _parse_errors(body: bytes) -> tuple[list[int], str | None]:
    """Return the error codes and messages of an envelope or of an RFC 9457 problem; (`[]`, None) for anything else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return [], None
    if not isinstance(document, dict):
        return [], None
    errors = document.get("errors")
    entries = [entry for entry in errors if isinstance(entry, dict)] if isinstance(errors, list) else []
    entries += [inner for entry in entries for inner in _chain(entry)]
    codes = [entry["code"] for entry in entries if isinstance(entry.get("code"), int)]
    messages = [str(entry["message"]) for entry in entries if entry.get("message")]
    messages = messages or [str(document[key]) for key in ("detail", "title", "error") if document.get(key)][:1]
    return codes, sanitize("; ".join(messages))


def _chain(entry: dict[str, Any]) -> list[dict[str, Any]]:
    chain = entry.get("error_chain")
    return [inner for inner in chain if isinstance(inner, dict)] if isinstance(chain, list) else []


def sanitize(text: str) -> str:
    """Return a short printable line of foreign text, for logs and tables."""
    return printable(text)[:_MAX_MESSAGE_LENGTH]


def quote(content: object) -> str:
    """Return a part of an answer as a few printable characters."""
    text = ascii(content)
    return text if len(text) <= _MAX_QUOTE_LENGTH else text[:_MAX_QUOTE_LENGTH] + "…"


def describe_connection_error(error: aiohttp.ClientError | OSError) -> str:
    """Return one line about why there is no complete response.

    The `repr` of the error is not used, because it contains the headers of the request and so the token.
    """
    match error:
        case aiohttp.ClientConnectorError() | aiohttp.ClientConnectorCertificateError():
            words = _not_connected(error)
        case aiohttp.ServerDisconnectedError():
            words = "the server closed the connection without a response"
        case aiohttp.ClientPayloadError():
            words = "the response ended early"
        case aiohttp.ClientHttpProxyError():
            words = f"the proxy refused the connection: HTTP {error.status} {sanitize(error.message)}"
        case aiohttp.ClientResponseError() if error.message.startswith("Got more than"):
            words = "a header line of the response is longer than 64 KiB"
        case aiohttp.ClientResponseError():
            words = f"the response is not valid HTTP: {sanitize(error.message)}"
        case OSError():
            words = f"the connection was lost: {sanitize(os_error_text(error))}"
        case _:
            words = f"{type(error).__name__}: {sanitize(str(error))}"
    return words


def _not_connected(error: aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError) -> str:
    """Return one line about why there is no connection."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the server's certificate is not trusted: {sanitize(str(error.certificate_error))}"
    reason = sanitize(os_error_text(error.os_error))
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} cannot be resolved: {reason}"
        case aiohttp.ClientConnectorSSLError():
            return f"no TLS with {error.host} port {error.port}: {sanitize(str(error.os_error))}"
        case aiohttp.ClientProxyConnectionError():
            return f"cannot connect to the proxy {error.host} port {error.port}: {reason}"
        case _:
            return f"cannot connect to {error.host} port {error.port}: {reason}"


def clock_sample(headers: Mapping[str, str], sent_at: datetime, received_at: datetime) -> ClockSample | None:
    """Return what the `Date` of a response shows; None without such a date, and for a response from a cache.

    *sent_at* and *received_at* are moments of our clock: when the request was sent and when the headers arrived.
    """
    if headers.get("Age", "0").strip() not in ("", "0"):
        return None
    return sample(parse_http_date(headers.get("Date")), sent_at, received_at)


def is_contradicted(clock: ClockSample, last_updated: datetime, received_at: datetime) -> bool:
    """Return whether *last_updated* is later than the `Date` beside it, so that one of the two is wrong.

    A *last_updated* after our own present proves nothing, because it may be unknown.
    """
    date = received_at - timedelta(seconds=clock.most)
    return date + NAMED_FROM < last_updated <= received_at


def with_clock_sample(error: RadarError, batch: Batch, clock: ClockSample | None, received_at: datetime) -> RadarError:
    """Return *error* with its clock sample; as InFuture if *batch* ends in the future by Radar's clock."""
    if isinstance(error, Refused) and clock is not None and _ends_in_future(batch, clock, received_at):
        body, error = error.body, InFuture(str(error), status=error.status, code=error.code)
        error.body = body
        if "future" in str(error).lower():
            clock = clock.confirm()
    error.clock_sample = clock
    return error


def _ends_in_future(batch: Batch, clock: ClockSample, received_at: datetime) -> bool:
    latest = received_at - timedelta(seconds=clock.least)
    return max(window.end for window in batch.windows) - SLOT > latest


_MASK = b"***"
_MIN_LENGTH = 8
"""A shorter text may stand in an answer by chance, and no real credential is that short."""


def spellings(headers: Iterable[str]) -> Sequence[bytes]:
    """Return the forms in which the credentials of request *headers* may occur in a body, the longest first."""
    secrets = [value.removeprefix("Bearer ") for value in headers]
    forms = set[str]()
    for secret in (secret for secret in secrets if len(secret) >= _MIN_LENGTH):
        escaped = json.dumps(secret)[1:-1]
        forms |= {secret, escaped, escaped.replace("/", "\\/"), percent_encoded(secret, safe="")}
    return sorted((text.encode() for text in forms), key=len, reverse=True)


def redact(content: bytes, secrets: Sequence[bytes], *, whole: bool = True) -> bytes:
    """Replace *secrets* in *content* by `***`; if *content* is not *whole*, also a partial secret at its end."""
    for secret in secrets:
        content = content.replace(secret, _MASK)
    if not whole:
        for secret in secrets:
            length = next((n for n in range(len(secret) - 1, 0, -1) if content.endswith(secret[:n])), 0)
            content = content[: len(content) - length]
    return content

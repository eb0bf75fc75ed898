"""The parameters of a request, each with its type, and the pages of a list. Anything unknown raises RequestRejected.

The cursor of the next page is opaque to clients.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from collector.errors import did_you_mean
from collector.serve.middleware import error_response
from collector.timestamps import parse_time, rfc3339

SomeBody = TypeVar("SomeBody", bound="Body")

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from collector.profile import Profile

    Owner = TypeVar("Owner")
    ChangeMethod = Callable[[Owner, web.Request, SomeBody], Awaitable[web.Response]]
    Method = Callable[[Owner, web.Request], Awaitable[web.Response]]

_MAX_LENGTH = 2_000
_REPEATABLE = frozenset({"profile", "series"})
_MAX_NAMES = 200


class RequestRejected(Exception):
    """The request cannot be answered; the text says why."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class QueryParameters:
    """The parameters by name of a request that came at *now*. Only *profile* and *series* may be repeated."""

    values: Mapping[str, Sequence[str]]
    now: datetime

    def first(self, name: str) -> str | None:
        """Return the text of a parameter; None without it."""
        values = self.values.get(name, ())
        return values[0] if values else None

    def all_of(self, name: str) -> tuple[str, ...]:
        """Return all values of a parameter, without repetition."""
        return tuple(dict.fromkeys(self.values.get(name, ())))

    def time(self, name: str) -> datetime | None:
        """Return a time between 2000 and tomorrow, in a form of the command line; None without the parameter."""
        text = self.first(name)
        if text is None:
            return None
        try:
            return parse_time(text, self.now)
        except ValueError as error:
            raise RequestRejected(f"{name}: {error}") from None

    def number(self, name: str, maximum: int, default: int) -> int:
        """Return a whole number from 1 to *maximum*, or *default* without the parameter."""
        text = self.first(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(maximum)) and 1 <= int(text) <= maximum):
            raise RequestRejected(f"{name}: {text!r} is not a whole number from 1 to {maximum}")
        return int(text)

    def word(self, name: str, words: Sequence[str]) -> str:
        """Return one of *words*; the first one without the parameter."""
        text = self.first(name)
        if text is not None and text not in words:
            raise RequestRejected(f"{name}: {text!r} is not one of {', '.join(words)}")
        return text or words[0]

    def period(self) -> tuple[datetime | None, datetime | None]:
        """Return *start* and *end*. Raises RequestRejected if *start* is after *end*."""
        start, end = self.time("start"), self.time("end")
        if start and end and start > end:
            raise RequestRejected(f"start: {rfc3339(start)} is after end {rfc3339(end)}")
        return start, end


def parse_parameters(request: web.Request, allowed: Collection[str], now: datetime) -> QueryParameters:
    """Return the parameters of a request that came at *now*. Raises RequestRejected unless all are *allowed*."""
    values = {name: request.query.getall(name) for name in request.query}
    for name, texts in values.items():
        if name not in allowed:
            known = f"; known: {', '.join(allowed)}" if allowed else ""
            raise RequestRejected(f"unknown parameter {name[:40]!r}{did_you_mean(name[:40], allowed)}{known}")
        if len(texts) > (_MAX_NAMES if name in _REPEATABLE else 1):
            raise RequestRejected(f"{name}: given {len(texts)} times")
        if any(len(value) > _MAX_LENGTH or not value.isprintable() for value in texts):
            raise RequestRejected(f"{name}: must be printable and at most {_MAX_LENGTH} characters")
    return QueryParameters(values, now)


def named_profiles(names: Sequence[str], profiles: Sequence[Profile]) -> list[Profile]:
    """Return the profiles of these names; without names, all. Raises RequestRejected (404) for an unknown name."""
    by_name = {profile.name: profile for profile in profiles}
    for name in names:
        if name not in by_name:
            raise RequestRejected(f"no profile {name!r}{did_you_mean(name, by_name)}", HTTPStatus.NOT_FOUND)
    return [by_name[name] for name in names] if names else list(profiles)


class Body(BaseModel):
    """A JSON body without unknown keys; a route without parameters takes `{}`."""

    model_config = ConfigDict(extra="forbid")


def changing(kind: type[SomeBody]) -> Callable[[ChangeMethod[Any, SomeBody]], Method[Any]]:
    """Decorate a method that changes something: it is called with the request and its body, which is a *kind*.

    A request that `reject_change` rejects, or another body, is answered with the error.
    """

    def decorate(change: ChangeMethod[Any, SomeBody]) -> Method[Any]:
        @wraps(change)
        async def handle(self: Any, request: web.Request) -> web.Response:
            if rejection := reject_change(request):
                return rejection
            try:
                body = kind.model_validate_json(await request.read())
            except ValidationError as error:
                return body_error(error)
            return await change(self, request, body)

        return handle

    return decorate


def reject_change(request: web.Request) -> web.Response | None:
    """Return an error for a body that is not JSON, or for a cross-origin request; None if neither is the case.

    An HTML form of another site can send no JSON.
    """
    if request.content_type != "application/json":
        return error_response(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json")
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        return error_response(HTTPStatus.FORBIDDEN, "cross-origin request refused")
    return None


def body_error(error: ValidationError) -> web.Response:
    """Return the first error of a body."""
    first = error.errors(include_url=False, include_input=False)[0]
    reason = first["msg"].removeprefix("Value error, ")  # pydantic's prefix before our own texts
    return error_response(HTTPStatus.BAD_REQUEST, f"{'.'.join(map(str, first['loc'])) or 'body'}: {reason}")


MAX_ROWS = 1_000
_MAX_OFFSET = 2**53


def write_cursor(*position: str | int) -> str:
    """Return a position in a list as a cursor."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(text: str, *types: type) -> list[Any]:
    """Return the position of a cursor. Raises RequestRejected unless its parts are of *types*."""
    try:
        position = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise RequestRejected("after: not a cursor of this server") from None
    fits = isinstance(position, list) and [type(part) for part in position] == list(types)
    if not fits or any(isinstance(part, int) and not 0 <= part < _MAX_OFFSET for part in position):
        raise RequestRejected("after: not a cursor of this server")
    return list(position)


def read_offset(parameters: QueryParameters) -> int:
    """Return the number of rows on all pages before this one."""
    after = parameters.first("after")
    return int(read_cursor(after, int)[0]) if after is not None else 0


def page_of(name: str, rows: Sequence[Any], parameters: QueryParameters) -> dict[str, Any]:
    """Return the requested page of a complete list: its rows under *name*, and the cursor of the `next` page."""
    offset, limit = read_offset(parameters), parameters.number("limit", MAX_ROWS, 100)
    end = offset + limit
    return {name: rows[offset:end], "next": write_cursor(end) if end < len(rows) else None}


def to_json(value: Any) -> Any:
    """Return an aware time as RFC 3339, with its microseconds, for json.dumps."""
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json_document(document: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return a response with *document*."""
    text = json.dumps(document, default=to_json, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")


def number(value: float) -> int | float:
    """Return a whole value as an integer, so that JSON has no decimal point."""
    return int(value) if value.is_integer() else value

"""The dashboard at `/`: one page of static files, kept in memory, that reads `/api/v1` and nothing else."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from importlib.resources.abc import Traversable

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_PAGE = "index.html"


def add_routes(app: web.Application) -> None:
    """Add the page and its files to *app*: only names that are there have a route."""
    for name, file in _files(files(__name__)):
        app.router.add_get("/" if name == _PAGE else f"/dashboard/{name}", _file(file))


def _files(folder: Traversable, within: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{within}{entry.name}/")
        elif _type(entry.name):
            yield within + entry.name, entry


def _type(name: str) -> str | None:
    return _TYPES.get(name[name.rfind(".") :])


def _file(file: Traversable) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = file.read_bytes()
    small = gzip.compress(body, mtime=0)
    tag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY, "Vary": "Accept-Encoding"}

    async def send(request: web.Request) -> web.Response:
        if tag in {etag.value for etag in request.if_none_match or ()}:
            response = web.Response(status=304, headers=headers)
        else:
            shrunk = "gzip" in request.headers.get("Accept-Encoding", "").lower()
            response = web.Response(
                body=small if shrunk else body, content_type=_type(file.name), charset="utf-8", headers=headers
            )
            if shrunk:
                response.headers["Content-Encoding"] = "gzip"
        response.etag = tag
        return response

    return send

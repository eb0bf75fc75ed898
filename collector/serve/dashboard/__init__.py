"""The dashboard at `/`: one page of static files, kept in memory, that reads `/api/v1` and nothing else."""

from __future__ import annotations

import gzip
import hashlib
import html
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from importlib.resources.abc import Traversable

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_PAGE = "index.html"
_API = "/api/v1/"
_OTHERWISE_LOADED = {"app.js", "theme.js"}
"""Scripts that the page itself names."""


def add_routes(app: web.Application, simulator: str | None = None) -> None:
    """Add the page and its files to *app*, each with a route.

    With the address of a *simulator*, the page says that its data is simulated, also without JavaScript. It also says
    which routes of `/api/v1` there are so far, so that it asks for no other.
    """
    paths = {resource.canonical for resource in app.router.resources()}
    routes = " ".join(sorted(path.removeprefix(_API) for path in paths if path.startswith(_API) and "{" not in path))
    known = list(_files(files(__name__)))
    modules = [name for name, _ in known if name.endswith(".js") and "/" not in name and name not in _OTHERWISE_LOADED]
    for name, file in known:
        body = file.read_bytes()
        if name == _PAGE:
            page = _page(body.decode(), routes, modules, simulator)
            app.router.add_get("/", _file_handler(file.name, page.encode()))
        else:
            app.router.add_get(f"/dashboard/{name}", _file_handler(file.name, body))


def _page(text: str, routes: str, modules: Sequence[str], simulator: str | None) -> str:
    # a browser would otherwise find out about each module only after it has read the ones that import it
    links = (f'<link rel="modulepreload" href="dashboard/{name}">' for name in modules)
    text = text.replace("{modules}", "\n  ".join(links))
    text = text.replace('<html lang="en">', f'<html lang="en" data-routes="{routes}">')
    if simulator is None:
        return text.replace("{simulator}", "")
    address = html.escape(simulator)
    text = text.replace('<html lang="en"', f'<html lang="en" data-simulator="{address}"')
    return text.replace("<title>", "<title>Simulated \N{EN DASH} ").replace("{simulator}", address)


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif _type(entry.name):
            yield prefix + entry.name, entry


def _type(name: str) -> str | None:
    return _TYPES.get(name[name.rfind(".") :])


def _file_handler(name: str, body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    compressed = gzip.compress(body, mtime=0)
    tag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY, "Vary": "Accept-Encoding"}

    async def send(request: web.Request) -> web.Response:
        if tag in {etag.value for etag in request.if_none_match or ()}:
            response = web.Response(status=304, headers=headers)
        else:
            accepts_gzip = "gzip" in request.headers.get("Accept-Encoding", "").lower()
            response = web.Response(
                body=compressed if accepts_gzip else body, content_type=_type(name), charset="utf-8", headers=headers
            )
            if accepts_gzip:
                response.headers["Content-Encoding"] = "gzip"
        response.etag = tag
        return response

    return send

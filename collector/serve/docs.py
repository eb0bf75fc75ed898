"""The reference at `/docs`: the pages of `collector.docs` as HTML, without scripts and external resources."""

from __future__ import annotations

import asyncio
import html
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from collector import docs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from markdown_it.token import Token

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
_CONTENTS = "README"
_PAGE_LINK = re.compile(r"(\w+)\.md(#.*)?")
_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - radar-collector</title>
<link rel="icon" href="{base}/dashboard/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{base}/docs/style.css">
</head>
<body>
<nav aria-label="Pages">{links}</nav>
<main>
{content}</main>
</body>
</html>
"""


def add_routes(app: web.Application, base_path: str = "") -> None:
    """Add `/docs`, its style sheet, and one route for each page; their links begin with *base_path*."""
    app.router.add_get("/docs", _page_handler(_CONTENTS, base_path))
    for name in docs.PAGES:
        app.router.add_get(f"/docs/{name}", _page_handler(name, base_path))
    style = files(docs).joinpath("style.css").read_text("utf-8")

    async def send_style(_request: web.Request) -> web.Response:
        return web.Response(text=style, content_type="text/css", headers=_HEADERS)

    app.router.add_get("/docs/style.css", send_style)


def _page_handler(name: str, base_path: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def send(_request: web.Request) -> web.Response:
        text = await asyncio.to_thread(page_html, name, base_path)
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    return send


@cache
def page_html(name: str, base_path: str = "") -> str:
    """Return the page *name* as an HTML document; its headings can be linked to."""
    from markdown_it import MarkdownIt  # only when a page is requested, because most services never serve one

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(docs.page(name))
    _set_links(tokens, base_path)
    title = name if name in docs.PAGES else "reference"
    return _DOCUMENT.format(
        base=base_path,
        title=title,
        links=_links(name, base_path),
        content=markdown.renderer.render(tokens, markdown.options, {}),
    )


def _links(current: str, base_path: str) -> str:
    pages = {"/": "dashboard", "/docs": "contents", **{f"/docs/{name}": name for name in docs.PAGES}}
    current_path = f"/docs/{current}" if current in docs.PAGES else "/docs"
    attribute = {current_path: ' aria-current="page"'}
    links = [
        f'<a href="{base_path}{path}"{attribute.get(path, "")}>{html.escape(text)}</a>' for path, text in pages.items()
    ]
    return "\n".join(links)


def _set_links(tokens: Sequence[Token], base_path: str) -> None:
    """Give every heading an id, as GitHub does, and turn links to `PAGE.md` into links to `/docs/PAGE`."""
    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(tokens[position + 1].content))
        for child in token.children or ():
            target = _PAGE_LINK.fullmatch(str(child.attrGet("href") or ""))
            if target:
                child.attrSet("href", f"{base_path}/docs/{target[1]}{target[2] or ''}")


def _anchor(heading: str) -> str:
    """`What is a gap?` → `what-is-a-gap`."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

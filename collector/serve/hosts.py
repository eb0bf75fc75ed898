"""By which names this server is asked: a page elsewhere may rebind its own name to this machine, and is refused."""

from __future__ import annotations

import re
import socket
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING

from aiohttp import web

from collector.serve.failures import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler, Middleware

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


def named(bound: str, hosts: Iterable[str]) -> Middleware:
    """Let through requests whose Host is the *bound* address, the loopback's, or one of *hosts*.

    Bound to every address, the server also answers to any address and to this machine's name: a page that rebinds its
    name is found out by the name.
    """
    every = bound in _WILDCARDS
    names = _LOCAL_NAMES | {bound, *hosts} | ({socket.gethostname().lower()} if every else set())

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.getall("Host", [])
        hosts = {without_port(host) for host in (*given, *_authority(request.raw_path))}
        if len(given) == 1 and all(host in names or (every and _is_address(host)) for host in hosts):
            return await handler(request)
        return refusal(HTTPStatus.MISDIRECTED_REQUEST, "this host name is not served here; [server] hosts lists more")

    return check


def without_port(host: str) -> str:
    """Take the name or address from `name`, `name:port`, `[address]` or `[address]:port`, in lower case."""
    name, colon, port = host.rpartition(":")
    name = (name if colon and port.isdigit() and (name.endswith("]") or ":" not in name) else host).lower()
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name


def _authority(target: str) -> tuple[str, ...]:
    """Return the host that a request target names itself, as `http://host/` does; none for `/path` and `*`.

    RFC 9112, section 3.2.2: it counts before the Host header.
    """
    if target.startswith("/") or target == "*":
        return ()
    return (re.split(r"[/?#]", target.partition("://")[2] or target, maxsplit=1)[0],)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

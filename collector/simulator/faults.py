"""Faults: scripted errors of an answer or of its delivery, and the requests that they hit."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiohttp import web

from collector.simulator.gateway import LoggedRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.contract.errors import HttpReply

HTTP_OK = 200


def unchanged(reply: HttpReply) -> HttpReply:
    """Return the reply as it is."""
    return reply


async def whole(request: web.Request, reply: HttpReply) -> web.StreamResponse:  # noqa: ARG001 - a way to deliver
    """Deliver the whole reply correctly."""
    headers = {"Content-Type": reply.content_type, **reply.headers}
    return web.Response(status=reply.status, body=reply.body, headers=headers)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of the answer (*reply*) or of its delivery (*deliver*). By default it hits one request.

    *needs_json*: it changes a JSON body, so it waits for a request that has one.
    """

    name: str
    reply: Callable[[HttpReply], HttpReply] = unchanged
    deliver: Callable[[web.Request, HttpReply], Awaitable[web.StreamResponse]] = whole
    needs_json: bool = False
    count: float = 1
    skip: int = 0
    where: Callable[[LoggedRequest], bool] | None = None
    since: float = -math.inf
    until: float = math.inf

    def times(self, count: int) -> Fault:
        """Hit *count* matching requests."""
        return replace(self, count=count)

    def always(self) -> Fault:
        """Hit every matching request."""
        return replace(self, count=math.inf)

    def after(self, skip: int) -> Fault:
        """Skip the first *skip* matching requests."""
        return replace(self, skip=skip)

    def only(self, where: Callable[[LoggedRequest], bool]) -> Fault:
        """Hit only requests for which *where* returns true."""
        return replace(self, where=where)

    def between(self, since: float, until: float = math.inf) -> Fault:
        """Hit only requests that arrive from *since* up to *until*, in epoch seconds of the simulator's clock."""
        return replace(self, since=since, until=until)

    def matches(self, received: LoggedRequest, reply: HttpReply) -> bool:
        """Return whether the fault can hit this request."""
        if self.needs_json and (reply.status != HTTP_OK or not reply.body.startswith(b"{")):
            return False
        in_time = self.since <= received.at < self.until
        return in_time and (self.where is None or self.where(received))


def instead(name: str, answer: HttpReply) -> Fault:
    """Return a fault that replaces the correct reply by *answer*."""
    return Fault(name, lambda _: answer)


FaultRule = Callable[[LoggedRequest], Fault | None]
"""Decides freely, request by request."""


class FaultScript:
    """The queued faults, in their order. The first one that matches hits the request."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, steps: Iterable[Fault | FaultRule]) -> None:
        """Append faults and rules."""
        self._entries += [_Entry(step) for step in steps]

    def clear(self) -> None:
        """Remove all faults and rules."""
        self._entries.clear()

    def next(self, received: LoggedRequest, reply: HttpReply) -> Fault | None:
        """Return the fault for this request, if any, and use it up by one."""
        for entry in self._entries:
            fault = entry.take(received, reply)
            if fault is not None:
                return fault
        return None


class _Entry:
    def __init__(self, step: Fault | FaultRule) -> None:
        self._step = step
        self._matched = 0

    def take(self, received: LoggedRequest, reply: HttpReply) -> Fault | None:
        if not isinstance(self._step, Fault):
            return self._step(received)
        if not self._step.matches(received, reply):
            return None
        self._matched += 1
        hit = self._step.skip < self._matched <= self._step.skip + self._step.count
        return self._step if hit else None

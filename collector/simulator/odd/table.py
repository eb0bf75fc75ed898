"""All variations by name, the choice of some of them, and their use on an answer.

Their order here is the order in which they change an answer: inner parts first, then the parts around them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING

from collector.errors import CollectorError, did_you_mean
from collector.simulator.odd.limits import BEHAVIOUR, LIMITS
from collector.simulator.odd.meta import CONFIDENCE, META, RANGES
from collector.simulator.odd.shape import NAMING, SHAPE
from collector.simulator.odd.spelling import BUCKETS, TIMESTAMPS, VALUES
from collector.simulator.odd.transport import ENVELOPE, HTTP, TEXT
from collector.simulator.odd.variation import Draft, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.contract.errors import HttpReply
    from collector.simulator.odd.variation import Variation
    from collector.simulator.options import SimulatorOptions


_ORDERED = (
    *LIMITS,
    *BUCKETS,
    *VALUES,
    *TIMESTAMPS,
    *META,
    *RANGES,
    *CONFIDENCE,
    *NAMING,
    *SHAPE,
    *ENVELOPE,
    *TEXT,
    *HTTP,
    *BEHAVIOUR,
)
VARIATIONS: Mapping[str, Variation] = MappingProxyType({one.name: one for one in _ORDERED})
"""Every variation by its name."""


class NoVariation(CollectorError):
    """A name that no variation has, or two variations that contradict each other."""


def choose(names: Iterable[str]) -> tuple[Variation, ...]:
    """Return the variations *names* in the order in which they change an answer, each once.

    Raises NoVariation for an unknown name and for two that change the same part.
    """
    wanted = set(names)
    for name in sorted(wanted - {*VARIATIONS}):
        raise NoVariation(f"no variation {name!r}{did_you_mean(name, VARIATIONS)}; `--odd help` lists them")
    chosen = tuple(one for one in _ORDERED if one.name in wanted)
    for one, other in combinations(chosen, 2):
        if part := one.common_part(other):
            raise NoVariation(f"{one.name} and {other.name} both change {part}; choose one of them")
    return chosen


def with_options(options: SimulatorOptions, variations: Sequence[Variation]) -> SimulatorOptions:
    """Return *options* with the switches of *variations*."""
    for one in variations:
        options = replace(options, **one.options)
    return options


def write(reply: HttpReply, draft: Draft, variations: Sequence[Variation]) -> HttpReply:
    """Return *reply*, a correct JSON answer with the document *draft*, in the form of *variations*."""
    for one in variations:
        one.change(draft)
        if draft.instead:
            return draft.instead
    body = encode(draft.document)
    for one in variations:
        body = one.rewrite(body)
    reply = replace(reply, body=body)
    for one in variations:
        reply = one.resend(reply)
    return reply


def listing(variations: Iterable[Variation]) -> str:
    """Return one line for each variation, in groups: its name, what the collector makes of it, and its description."""
    known = [*variations]
    width = max(len(one.name) for one in known)
    lines = []
    for group in dict.fromkeys(one.group for one in known):
        lines.append(f"{group}:")
        lines += [f"  {one.name:<{width}}  {one.verdict:<9}  {one.line}" for one in known if one.group == group]
    return "\n".join(lines)

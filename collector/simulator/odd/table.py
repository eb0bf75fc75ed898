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

    from collector.contract.response import HttpReply
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
VARIATIONS: Mapping[str, Variation] = MappingProxyType({variation.name: variation for variation in _ORDERED})
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
    chosen = tuple(variation for variation in _ORDERED if variation.name in wanted)
    for variation, other in combinations(chosen, 2):
        if part := variation.common_part(other):
            raise NoVariation(f"{variation.name} and {other.name} both change {part}; choose one of them")
    return chosen


def with_options(options: SimulatorOptions, variations: Sequence[Variation]) -> SimulatorOptions:
    """Return *options* with the switches of *variations*."""
    for variation in variations:
        options = replace(options, **variation.options)
    return options


def write(reply: HttpReply, draft: Draft, variations: Sequence[Variation]) -> HttpReply:
    """Return *reply*, a correct JSON answer with the document *draft*, in the form of *variations*."""
    for variation in variations:
        if variation.of_groups or not draft.has_groups:
            variation.change(draft)
        if draft.instead:
            return draft.instead
    body = encode(draft.document)
    for variation in variations:
        body = variation.rewrite(body)
    reply = replace(reply, body=body)
    for variation in variations:
        reply = variation.resend(reply)
    return reply


def listing(variations: Iterable[Variation]) -> str:
    """Return one line for each variation, in groups: its name, what the collector makes of it, and its description."""
    known = [*variations]
    width = max(len(variation.name) for variation in known)
    lines = []
    for group in dict.fromkeys(variation.group for variation in known):
        lines.append(f"{group}:")
        lines += [
            f"  {variation.name:<{width}}  {variation.verdict:<9}  {variation.line}"
            for variation in known
            if variation.group == group
        ]
    return "\n".join(lines)

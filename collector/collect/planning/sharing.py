"""The share of the work that one of several replicas takes. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.collect.planning import packing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.collect.planning.request_limits import RequestLimits
    from collector.model import RequestKind, Slice
    from collector.profile import Profile


def fair_share(profiles: Sequence[Profile], replicas: int, positions: int) -> Sequence[Profile]:
    """The part of *profiles* that one of so many *replicas* takes on: its share, and what fills its requests up."""
    taken = series = 0
    for profile in profiles:
        if taken * replicas >= len(profiles) and series + len(profile.series) > -(-series // positions) * positions:
            break
        taken, series = taken + 1, series + len(profile.series)
    return profiles[:taken]


def take_chunk(
    free: Sequence[Slice], limits: Mapping[RequestKind, RequestLimits], most: int
) -> tuple[Sequence[Slice], Sequence[Slice]]:
    """Divide what is *free* of a job into what one of several replicas takes on, whole requests, and the rest.

    It takes the newest *most* requests of the finest interval, and only one where its size is yet to be proven.
    """
    kind = packing.request_kinds(free)[0]
    known = limits[kind]
    batches = packing.pack((piece for piece in free if packing.is_of_kind(kind, piece)), known.shape)
    most = most if known.proves(batches[0]) else 1
    rest = [piece for piece in free if not packing.is_of_kind(kind, piece)]
    return packing.slices_of(batches[:most]), [*packing.slices_of(batches[most:]), *rest]

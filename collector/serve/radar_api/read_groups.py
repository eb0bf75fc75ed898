"""Read the groups of a sum: the values of those that are known in every bucket of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.contract.response import ApiError, bad_request, quote
from collector.serve.radar_api.answer import MAX_POINTS
from collector.serve.radar_api.grouping import Buckets, PartOfGroup, sums_if_known
from collector.serve.radar_api.render_groups import TIMESTAMPS
from collector.serve.radar_api.resolver import NO_HISTORY
from collector.windows import SeriesWindow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.contract.request_parser import SeriesRequest
    from collector.serve.radar_api.resolver import SeriesData, SeriesMatch
    from collector.store import AsOfReader


class UnknownGroup(ApiError):
    """A group that is requested is unknown in some bucket, because answers did not list it."""

    def __init__(self, message: str) -> None:
        super().__init__(NO_HISTORY, message)


def read_groups(
    history: AsOfReader,
    position: SeriesRequest,
    data: SeriesData,
    match: SeriesMatch,
    chosen: Sequence[str] | None,
) -> dict[str, list[float]]:
    """Read the groups of the series of *match* that are known in every bucket of *data*.

    Raises ApiError if one of the *chosen* groups is not.
    """
    buckets = Buckets(data.timestamps, position.query.agg_interval.seconds)
    parts = [(history.groups(part.id, position.start, position.end)) for part in match.parts]
    unknown = [frozenset(buckets.within(part.open)) for part in parts]
    names = chosen if chosen is not None else sorted({name for part in parts for name in part.ids} - {TIMESTAMPS})
    _check_size(match, len(data.timestamps) * position.query.agg_interval.seconds, len(names))
    known = {}
    for name in names:
        if chosen is not None and not all(name in part.ids for part in parts):
            raise ApiError(NO_HISTORY, f"{quote(name)} is no known group")
        points = [
            PartOfGroup(_read_points(history, part.ids.get(name, ()), part.vanished, position), still_open)
            for part, still_open in zip(parts, unknown, strict=True)
        ]
        sums = sums_if_known(buckets, points)
        if sums is not None:
            known[name] = sums
        elif chosen is not None:
            raise UnknownGroup(
                f"{quote(name)} is not known in every bucket of the range: some answers list only larger groups"
            )
    return known


def _check_size(match: SeriesMatch, seconds: int, names: int) -> None:
    points = seconds // match.agg_interval.seconds * len(match.parts) * names
    if points > MAX_POINTS:
        raise bad_request(
            f"The date range is too long for {names} groups: the answer would take {points} stored points, at most "
            f"{MAX_POINTS} are read"
        )


def _read_points(
    history: AsOfReader, ids: Sequence[int], vanished: Mapping[int, frozenset[int]], position: SeriesRequest
) -> dict[int, float]:
    points: dict[int, float] = {}
    for series_id in ids:
        gone = vanished.get(series_id, frozenset())
        for block in history.points(SeriesWindow(series_id, position.start, position.end)):
            points.update([point for point in block if point[0] not in gone] if gone else block)
    return points

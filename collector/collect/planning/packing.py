"""Which windows, packed into which batches, and which share of them one replica takes. Pure functions.

A request carries many slices of equal duration, so the cost of history is the number of batches.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.interval import DEFAULT_ORIGIN
from collector.model import Batch, Slice, Window
from collector.radar.request import query_string
from collector.windows import merge, split_evenly, split_on_grid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.collect.planning.request_limits import RequestLimits
    from collector.interval import AggInterval, Grid
    from collector.model import Question, RequestKind
    from collector.profile import Profile

LONGEST_QUERY = 8_130
"""Bytes of a query string that servers take with a path in front of it (the usual bound is 8 KiB for the line)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a request may be.

    *span* of a window, number of *positions*, whether *gaps* (empty ones) pass, *length* of the query string in bytes.
    """

    span: timedelta
    positions: int
    gaps: bool = True
    length: int = LONGEST_QUERY


def pack(slices: Iterable[Slice], shape: Shape) -> list[Batch]:
    """Cut *slices* to *shape* and pack them into as few batches as it allows, newest windows first."""
    alike: dict[object, list[Slice]] = defaultdict(list)
    for piece in _fitting(slices, shape.span):
        keys = () if shape.gaps else tuple(sorted(piece.series.filters))
        alike[piece.series.request_kind, piece.window.duration, keys].append(piece)
    batches = [batch for group in alike.values() for batch in _fill(_newest_first(group), shape)]
    return sorted(batches, key=lambda batch: batch.slices[0].window.end, reverse=True)


def pack_separately(
    slices: Iterable[Slice], shape: Shape, alone: Collection[Question], relative: Collection[Question]
) -> list[Batch]:
    """Pack *slices*, those of *alone* one by one, and of series with *relative* values only each one's newest window.

    No second answer can be joined to that, and an older one would take its place.
    """
    kinds: dict[str, list[Slice]] = defaultdict(list)
    for piece in slices:
        kinds["relative" if piece.series in relative else "alone" if piece.series in alone else ""].append(piece)
    one = replace(shape, positions=1)
    newest = {batch.slices[0].series: batch for batch in reversed(pack(kinds["relative"], one))}
    return [*pack(kinds[""], shape), *pack(kinds["alone"], one), *newest.values()]


def _fitting(slices: Iterable[Slice], span: timedelta) -> Iterator[Slice]:
    """Cut what is longer than *span*, joined first with what was cut for a longer one; the rest stays as it is."""
    windows: dict[Question, list[Window]] = defaultdict(list)
    for piece in slices:
        windows[piece.series].append(piece.window)
    for series, found in windows.items():
        if all(window.duration <= span for window in found):
            pieces: Iterable[Window] = dict.fromkeys(found)
        else:
            pieces = [piece for run in merge(found) for piece in split_evenly(run, span, series.agg_interval.step)]
        yield from (Slice(series, piece) for piece in pieces)


def until(slices: Iterable[Slice], present: datetime) -> list[Slice]:
    """Leave out the buckets of *slices* that have not closed at *present*."""
    closed = []
    for piece in slices:
        step, end = piece.series.agg_interval.step, piece.window.end
        end -= max(-((present - end) // step), 0) * step
        if piece.window.start < end:
            closed.append(piece if end == piece.window.end else replace(piece, window=Window(piece.window.start, end)))
    return closed


def joined(slices: Iterable[Slice]) -> list[Slice]:
    """Join the windows of each series that overlap or touch."""
    windows: dict[Question, list[Window]] = defaultdict(list)
    for piece in slices:
        windows[piece.series].append(piece.window)
    return [Slice(series, run) for series, found in windows.items() for run in merge(found)]


def _newest_first(slices: list[Slice]) -> list[Slice]:
    """Order by window, newest first, and within one by filter keys, so that few positions stay empty."""
    return sorted(slices, key=lambda piece: (-piece.window.start.timestamp(), *piece.series.key))


def _fill(slices: Sequence[Slice], shape: Shape) -> Iterator[Batch]:
    done = 0
    while done < len(slices):
        batch = _longest_that_fits(slices[done : done + shape.positions], shape.length)
        done += len(batch.slices)
        yield batch


def _longest_that_fits(slices: Sequence[Slice], most: int) -> Batch:
    count = len(slices)
    while count > 1 and (length := len(query_string(Batch(tuple(slices[:count]))))) > most:
        count = max(1, min(count - 1, count * most // length))
    return Batch(tuple(slices[:count]))


def halves(batch: Batch) -> list[Batch]:
    """Split a batch of several slices in two, to find the one that Radar will not answer."""
    middle = len(batch.slices) // 2
    return [Batch(batch.slices[:middle]), Batch(batch.slices[middle:])]


def request_kinds(slices: Sequence[Slice]) -> list[RequestKind]:
    """Return the kinds of requests that *slices* need, those of the finest interval first."""
    kinds = {piece.series.request_kind for piece in slices}
    return sorted(kinds, key=lambda kind: (kind.agg_interval.seconds, kind.dataset))


def is_of_kind(kind: RequestKind, piece: Slice) -> bool:
    """Return whether *piece* needs a request of *kind*."""
    return piece.series.request_kind == kind


def slices_of(batches: Iterable[Batch]) -> list[Slice]:
    """Return the slices of *batches*, in their order."""
    return [piece for batch in batches for piece in batch.slices]


DAY = timedelta(days=1)


def closed_until(grid: Grid | AggInterval, now: datetime) -> datetime:
    """End of the newest closed bucket."""
    return grid.floor(now)


def midnight(moment: datetime) -> datetime:
    """The beginning of the day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def live_window(profile: Profile, stored: Window | None, now: datetime) -> Window | None:
    """The newest buckets of one series: from the newest *stored* one, less lookback, to the newest closed one.

    *stored* reaches from the oldest stored bucket to the newest one that an answer has spoken for. The start is rounded
    down to a day, so that series which are a few buckets apart still share a window. None if there is nothing to read.
    """
    end = closed_until(profile.grid, now)
    newest = stored.end - profile.agg_interval.step if stored else end
    start = min(newest, end) - profile.lookback
    if profile.since:
        start = max(start, profile.since)
    start = profile.grid.floor(midnight(start))
    return Window(start, end) if start < end else None


def grid_windows(window: Window, span: timedelta, step: timedelta) -> list[Window]:
    """Cut *window* at the borders of the grid of *span*, which are starts of buckets of width *step*."""
    return split_on_grid(window, span, DEFAULT_ORIGIN + (window.start - DEFAULT_ORIGIN) % step)


def cells(holes: Iterable[Window], within: Window, span: timedelta, step: timedelta) -> list[Window]:
    """The grid windows of *within* that hold a part of a hole, each once: asking whole cells keeps durations equal."""
    return sorted({cell for hole in holes for cell in grid_windows(within, span, step) if cell.overlaps(hole)})


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
    kind = request_kinds(free)[0]
    known = limits[kind]
    batches = pack((piece for piece in free if is_of_kind(kind, piece)), known.shape)
    most = most if known.proves(batches[0]) else 1
    rest = [piece for piece in free if not is_of_kind(kind, piece)]
    return slices_of(batches[:most]), [*slices_of(batches[most:]), *rest]

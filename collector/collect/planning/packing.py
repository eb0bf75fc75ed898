"""Batches: slices cut to the shape of a request and packed into as few requests as possible. Pure functions.

A request carries many slices of equal duration, so the price of history is the number of batches.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from collector.model import Batch, Slice, Window
from collector.radar.request import query_string
from collector.windows import merge, split_evenly

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime, timedelta

    from collector.model import Question, RequestKind

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

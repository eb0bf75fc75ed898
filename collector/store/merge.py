"""Streams of points merged by time in constant memory: of each bucket the first stream's value counts."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

    Rows = Sequence[Any]


class _Merge:
    """Rows (timestamp, …) of several streams, ascending in each, fed block by block."""

    def __init__(self, streams: int) -> None:
        self._blocks: list[Rows | None] = [()] * streams
        self._at = [0] * streams

    def hungry(self) -> int | None:
        """Return the number of a stream that must be fed before the merge can continue; None at the end."""
        for number, block in enumerate(self._blocks):
            if block is not None and self._at[number] == len(block):
                return number
        return None

    def feed(self, number: int, block: Rows | None) -> None:
        """Add the next block of a stream; None is its end."""
        self._blocks[number], self._at[number] = block, 0

    def runs(self) -> Iterator[tuple[int, Rows]]:
        """Yield (number of the stream, rows) as far as the blocks allow, ascending."""
        held: tuple[int, list[Any]] | None = None
        while self.hungry() is None and (heads := self._heads()):
            number, rows = self._run(heads)
            if held and held[0] == number:
                held[1].extend(rows)
                continue
            if held:
                yield held
            held = number, list(rows)
        if held:
            yield held

    def _run(self, heads: Sequence[tuple[int, int]]) -> tuple[int, Rows]:
        """Take the rows of the stream that is next, up to where another one has a row."""
        first, winner = min(heads)
        rest = [head for head, number in heads if number != winner]
        block, at = self._blocks[winner] or (), self._at[winner]
        end = bisect_left(block, min(rest), lo=at, key=_timestamp) if rest else len(block)
        self._at[winner] = end = max(end, at + 1)
        for head, number in heads:
            if number != winner and head == first:
                self._at[number] += 1
        return winner, block[at:end]

    def _heads(self) -> list[tuple[int, int]]:
        """Return (timestamp of the next row, number of the stream) of the streams that have not ended."""
        blocks = enumerate(self._blocks)
        return [(block[self._at[number]][0], number) for number, block in blocks if block is not None]


def _timestamp(row: Any) -> int:
    found: int = row[0]
    return found


async def merged(streams: Sequence[AsyncIterator[Rows]]) -> AsyncGenerator[tuple[int, Rows], None]:
    """Merge streams of blocks of rows (timestamp, …), ascending: yields (number of the stream, rows).

    If several streams have a bucket, the row of the first one counts.
    """
    merge = _Merge(len(streams))
    while (number := merge.hungry()) is not None:
        merge.feed(number, await anext(streams[number], None))
        for run in merge.runs():
            yield run


def merged_now(streams: Sequence[Iterator[Rows]]) -> Iterator[tuple[int, Rows]]:
    """Merge as `merged` does, without waiting."""
    merge = _Merge(len(streams))
    while (number := merge.hungry()) is not None:
        merge.feed(number, next(streams[number], None))
        yield from merge.runs()

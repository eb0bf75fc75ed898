"""Folded coverage: one row for many answers about the same set of series, whose buckets are final.

Live use has an answer for each bucket. When the buckets of some time are final, their rows of `answers` become one row
of `folded_answers`: the range that they cover without a hole, the newest answer, the sum of their checksums, and in
*content* what each answer said of itself, packed. So nothing about an earlier moment is lost, and a fetch may leave the
ledger although its values stay.
"""

from __future__ import annotations

import struct
import zlib
from collections import defaultdict
from contextlib import closing
from functools import lru_cache
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.model import Window
from collector.store.checksums import CHECKSUMS, microseconds
from collector.store.db.column_types import Timestamp, epoch
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import folded_answers, series_set_members
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence
    from datetime import datetime

_MICRO = 1_000_000
_NONE = -(2**63)
"""Stands for NULL in packed numbers."""
_COLUMNS = 9
_WORD = 8
_HEAD = struct.Struct("<4q")
_MOST_BYTES = 2**22
_ROWS_AT_ONCE = 500
_REACH = itemgetter(2, 0)
"""The end and the fetch of a FoldedAnswer."""


class FoldedAnswer(NamedTuple):
    """One answer of a folded row: the buckets [start, end) in epoch seconds; all moments in epoch microseconds.

    *start_time* and *end_time* are the API's own range, *level* the confidence level; None if they are not known.
    """

    fetch_id: int
    start: int
    end: int
    start_time: int | None
    end_time: int | None
    overruled: bool
    finished_at: int
    last_updated: int
    level: int | None

    @property
    def window(self) -> Window:
        """The buckets."""
        return Window(from_epoch(self.start), from_epoch(self.end))

    @property
    def date_range(self) -> tuple[datetime | None, datetime | None]:
        """The API's own range."""
        return _moment(self.start_time), _moment(self.end_time)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def from_micros(micros: int) -> datetime:
    """Return the moment of epoch microseconds."""
    seconds, rest = divmod(micros, _MICRO)
    return from_epoch(seconds).replace(microsecond=rest)


def pack(answers: Sequence[FoldedAnswer]) -> bytes:
    """Write answers as columns of numbers that are small or alike, compressed; ascending by fetch and end."""
    ordered = sorted(answers, key=itemgetter(0, 2))
    ends = [each.end for each in ordered]
    columns = (
        _differences([each.fetch_id for each in ordered]),
        _differences(ends),
        [each.end - each.start for each in ordered],
        _offsets([each.start_time for each in ordered], [each.start for each in ordered]),
        _offsets([each.end_time for each in ordered], ends),
        [int(each.overruled) for each in ordered],
        _offsets([each.finished_at for each in ordered], ends),
        _offsets([each.last_updated for each in ordered], ends),
        [_NONE if each.level is None else each.level for each in ordered],
    )
    numbers = [number for column in columns for number in column]
    raw = struct.pack(f"<{len(numbers)}q", *numbers)
    return zlib.compress(b"".join(raw[i::_WORD] for i in range(_WORD)), 9)


def _differences(numbers: Sequence[int]) -> list[int]:
    return [*numbers[:1], *(after - before for before, after in pairwise(numbers))]


def _offsets(micros: Sequence[int | None], edges: Sequence[int]) -> list[int]:
    return [_NONE if each is None else each - edge * _MICRO for each, edge in zip(micros, edges, strict=True)]


@lru_cache(maxsize=512)
def unpack(content: bytes) -> tuple[FoldedAnswer, ...]:
    """Read what `pack` wrote. Raises ValueError if it is damaged."""
    try:
        decompressing = zlib.decompressobj()
        shuffled = decompressing.decompress(content, _MOST_BYTES)
        is_whole = decompressing.eof and not decompressing.unused_data
    except zlib.error as error:
        raise ValueError(str(error)) from error
    count, rest = divmod(len(shuffled), _COLUMNS * _WORD)
    if rest or not is_whole:
        raise ValueError("wrong length")
    raw, words = bytearray(len(shuffled)), len(shuffled) // _WORD
    for i in range(_WORD):
        raw[i::_WORD] = shuffled[i * words : (i + 1) * words]
    numbers = struct.unpack(f"<{words}q", raw)
    ids, ends, widths, *others = (numbers[i * count : (i + 1) * count] for i in range(_COLUMNS))
    rows = zip(accumulate(ids), accumulate(ends), widths, *others, strict=True)
    return tuple(_unpacked(*row) for row in rows)


def _unpacked(  # noqa: PLR0913, PLR0917 - the columns of the content
    fetch_id: int, end: int, width: int, began: int, ended: int, overruled: int, came: int, updated: int, level: int
) -> FoldedAnswer:
    start, edge = end - width, end * _MICRO
    start_time = None if began == _NONE else began + start * _MICRO
    end_time = None if ended == _NONE else ended + edge
    known_level = None if level == _NONE else level
    return FoldedAnswer(
        fetch_id, start, end, start_time, end_time, bool(overruled), came + edge, updated + edge, known_level
    )


class FoldedRow(NamedTuple):
    """A row of `folded_answers`, in epoch seconds. *checksum* is the sum of those of its answers."""

    id: int
    set_id: int
    start: int
    end: int
    checksum: int
    digest: int
    content: bytes

    @property
    def answers(self) -> tuple[FoldedAnswer, ...]:
        """What the answers said. Raises ValueError if the content is damaged."""
        return unpack(self.content)

    @property
    def is_intact(self) -> bool:
        """Return whether the row is as it was written, without the values that its answers brought."""
        try:
            return _digest(self.set_id, self.start, self.end, self.content) == self.digest and bool(self.answers)
        except (ValueError, struct.error, TypeError):
            return False


def _digest(set_id: int, start: int, end: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(_HEAD.pack(set_id, start, end, len(content))))


_table = folded_answers.c
_SELECT = sa.select(
    _table.id, _table.set_id, epoch(_table.start), epoch(_table.end), _table.checksum, _table.digest, _table.content
)
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_SETS = sa.select(series_set_members.c.set_id).where(series_set_members.c.series_id.in_(_IDS))
_OF_SERIES = _SELECT.where(_table.set_id.in_(_SETS))


def contents(set_id: int, answers: Sequence[FoldedAnswer]) -> dict[str, Any]:
    """Return the columns of a row that follow from its answers: all but its id, its set and the checksum."""
    start, end, content = min(each.start for each in answers), max(each.end for each in answers), pack(answers)
    in_force = [each for each in answers if not each.overruled]
    levels = [-1 if each.level is None else each.level for each in in_force]
    return {
        "start": from_epoch(start),
        "end": from_epoch(end),
        "fetch_id": max(each.fetch_id for each in in_force or answers),
        "first_fetch_id": min(each.fetch_id for each in answers),
        "last_fetch_id": max(each.fetch_id for each in answers),
        "first_finished_at": from_micros(min(each.finished_at for each in answers)),
        "last_finished_at": from_micros(max(each.finished_at for each in answers)),
        "last_updated": from_micros(max(each.last_updated for each in answers)),
        "lowest_level": min(levels, default=None),
        "highest_level": max(levels, default=None),
        "content": content,
        "digest": _digest(set_id, start, end, content),
    }


def add(connection: sa.Connection, set_id: int, answers: Sequence[FoldedAnswer], checksum: int) -> None:
    """Insert a row. *checksum* is the sum of those of its answers."""
    row = {"set_id": set_id, "checksum": checksum % CHECKSUMS, **contents(set_id, answers)}
    connection.execute(sa.insert(folded_answers), row)


def change(connection: sa.Connection, row: FoldedRow, answers: Sequence[FoldedAnswer] | None, difference: int) -> None:
    """Give a row other answers, unless they are None, and add a difference to its checksum."""
    values = {"checksum": (row.checksum + difference) % CHECKSUMS}
    if answers is not None:
        values |= contents(row.set_id, answers)
    connection.execute(sa.update(folded_answers).where(_table.id == row.id).values(**values))


def rows(connection: sa.Connection, series_ids: Collection[int], *where: sa.ColumnElement[bool]) -> list[FoldedRow]:
    """Read the rows about any of some series for which *where* holds."""
    result = connection.execute(_OF_SERIES.where(*where).order_by(_table.id), {"ids": list(series_ids)})
    return [FoldedRow(*row) for row in result]


def of_fetches(connection: sa.Connection, series_ids: Collection[int], fetch_ids: Collection[int]) -> list[FoldedRow]:
    """Read the rows about any of some series that may have an answer of these fetches."""
    within = _table.first_fetch_id <= max(fetch_ids), _table.last_fetch_id >= min(fetch_ids)
    return rows(connection, series_ids, *within)


def _by_fetch(pair: tuple[FoldedRow, FoldedAnswer]) -> tuple[int, int]:
    return pair[1].fetch_id, pair[1].end


def fetch_ids(some: Sequence[FoldedRow]) -> set[int]:
    """Return the fetches of some rows that can be read."""
    return {each.fetch_id for row in some if row.is_intact for each in row.answers}


class AnswerOfSeries(NamedTuple):
    """A folded answer about a series."""

    series_id: int
    answer: FoldedAnswer


_WITH_SERIES = _SELECT.add_columns(series_set_members.c.series_id).join_from(
    series_set_members, folded_answers, _table.set_id == series_set_members.c.set_id
)


def overlapping(
    connection: sa.Connection, series_ids: Collection[int], start: datetime, end: datetime
) -> list[AnswerOfSeries]:
    """Read the answers about some series on any bucket of [start, end)."""
    first, last = start.timestamp(), end.timestamp()
    select = _WITH_SERIES.where(series_set_members.c.series_id.in_(_IDS), _table.end > start, _table.start < end)
    return [
        AnswerOfSeries(series_id, each)
        for *row, series_id in connection.execute(select, {"ids": list(series_ids)})
        for each in FoldedRow(*row).answers
        if each.end > first and each.start < last
    ]


_LEVELS = DriverSelect(
    sa.select(
        epoch(_table.start),
        epoch(_table.end),
        _table.lowest_level,
        _table.highest_level,
        _table.first_finished_at,
        _table.last_finished_at,
        _table.content,
    ).where(
        _table.set_id.in_(_SETS),
        _table.end > sa.bindparam("since", type_=Timestamp),
        _table.start < sa.bindparam("until", type_=Timestamp),
        _table.lowest_level.is_not(None),
    )
)


def levels(
    connection: sa.Connection, series_ids: Collection[int], start: datetime, end: datetime, as_of: datetime | None
) -> set[int | None]:
    """Read the confidence levels of answers on any bucket of [start, end), known at *as_of*; None for unknown.

    A row whose levels are all the same is not unpacked if it lies within the window.
    """
    first, last = start.timestamp(), end.timestamp()
    known = set[int | None]()
    parameters = {"ids": list(series_ids), "since": start, "until": end}
    for a, b, lowest, highest, first_came, last_came, content in _LEVELS.rows(connection, parameters):
        if as_of is not None and first_came > as_of:
            continue
        if lowest == highest and first <= a and b <= last and (as_of is None or last_came <= as_of):
            known.add(None if lowest < 0 else lowest)
            continue
        overlap = (each for each in unpack(content) if each.end > first and each.start < last)
        known |= {each.level for each in overlap if not each.overruled and is_known(each, as_of)}
    return known


def is_known(answer: FoldedAnswer, as_of: datetime | None) -> bool:
    """Return whether an answer had come at *as_of*; None is now."""
    return as_of is None or answer.finished_at <= microseconds(as_of)


class Furthest(NamedTuple):
    """The answer about a series that reached furthest, the newest of such; *end* in epoch seconds."""

    series_id: int
    end: int
    fetch_id: int
    last_updated: datetime
    finished_at: datetime


def furthest(connection: sa.Connection, series_ids: Collection[int], as_of: datetime) -> list[Furthest]:
    """Return of each set of series the folded answer that reached furthest, as known at *as_of*."""
    members: dict[int, list[int]] = defaultdict(list)
    in_sets = sa.select(series_set_members.c.set_id, series_set_members.c.series_id)
    has_rows = sa.exists().where(_table.set_id == series_set_members.c.set_id)
    in_sets = in_sets.where(series_set_members.c.series_id.in_(_IDS), has_rows)
    for set_id, series_id in connection.execute(in_sets, {"ids": list(series_ids)}):
        members[set_id].append(series_id)
    reached = {set_id: _furthest(connection, set_id, as_of) for set_id in members}
    return [
        Furthest(i, last.end, last.fetch_id, from_micros(last.last_updated), from_micros(last.finished_at))
        for set_id, last in reached.items()
        if last
        for i in members[set_id]
    ]


def _furthest(connection: sa.Connection, set_id: int, as_of: datetime) -> FoldedAnswer | None:
    known = _table.first_finished_at <= as_of, _table.lowest_level.is_not(None)
    select = sa.select(epoch(_table.end), _table.content).where(_table.set_id == set_id, *known)
    last: FoldedAnswer | None = None
    with closing(connection.execute(select.order_by(_table.end.desc()))) as result:
        for end, content in result:
            if last and end < last.end:
                break
            then = [each for each in unpack(content) if not each.overruled and is_known(each, as_of)]
            last = max([*then, *([last] if last else [])], key=_REACH, default=None)
    return last


class LateFetches(NamedTuple):
    """The folded fetches that had not ended at a moment: those from *first* on, without the *known* ones."""

    first: int
    known: tuple[int, ...]


def late_fetches(connection: sa.Connection, series_ids: Collection[int], as_of: datetime) -> LateFetches | None:
    """Return which folded answers about some series came after *as_of*; None if there are none.

    Fetches end almost in the order of their ids, so only the rows around the moment are unpacked.
    """
    ids, moment = {"ids": list(series_ids)}, microseconds(as_of)
    of_series = _table.set_id.in_(_SETS)
    later = sa.select(sa.func.min(_table.first_fetch_id)).where(of_series, _table.first_finished_at > as_of)
    first: int | None = connection.execute(later, ids).scalar()
    content = sa.select(_table.content).where(of_series, _table.first_finished_at <= as_of)
    across = connection.execute(content.where(_table.last_finished_at > as_of), ids).scalars()
    late = [each.fetch_id for packed in across for each in unpack(packed) if each.finished_at > moment]
    first = min([*late, *([] if first is None else [first])], default=None)
    if first is None:
        return None
    rest = connection.execute(content.where(_table.last_fetch_id > first), ids).scalars()
    known = {
        each.fetch_id
        for packed in rest
        for each in unpack(packed)
        if each.fetch_id > first and each.finished_at <= moment
    }
    return LateFetches(first, tuple(sorted(known)))


def updated_since(connection: sa.Connection, series_ids: Collection[int], last_updated: datetime) -> set[int]:
    """Return the series with a folded answer whose lastUpdated is *last_updated* or later."""
    select = sa.select(series_set_members.c.series_id).distinct()
    select = select.join(folded_answers, _table.set_id == series_set_members.c.set_id)
    select = select.where(series_set_members.c.series_id.in_(_IDS), _table.last_updated >= last_updated)
    return set(connection.execute(select, {"ids": list(series_ids)}).scalars())


def has_fetch(connection: sa.Connection, fetch_id: int) -> bool:
    """Return whether an answer of this fetch may be folded."""
    within = _table.first_fetch_id <= fetch_id, _table.last_fetch_id >= fetch_id
    return connection.execute(sa.select(_table.id).where(*within).limit(1)).first() is not None


def seen_at(connection: sa.Connection, values: Collection[tuple[int, int, int]]) -> dict[tuple[int, int], datetime]:
    """Return when values (series_id, timestamp, fetch_id) came whose fetch is folded, by series_id and fetch_id."""
    if not values:
        return {}
    wanted = {(series_id, fetch_id) for series_id, _, fetch_id in values}
    first, last = (extreme(timestamp for _, timestamp, _ in values) for extreme in (min, max))
    fetch_ids = [fetch_id for _, fetch_id in wanted]
    select = _WITH_SERIES.where(series_set_members.c.series_id.in_(_IDS))
    select = select.where(_table.end > from_epoch(first), _table.start <= from_epoch(last))
    select = select.where(_table.first_fetch_id <= max(fetch_ids), _table.last_fetch_id >= min(fetch_ids))
    came = {}
    for *row, series_id in connection.execute(select, {"ids": list({series_id for series_id, _ in wanted})}):
        for each in FoldedRow(*row).answers:
            if (series_id, each.fetch_id) in wanted:
                came[series_id, each.fetch_id] = from_micros(each.finished_at)
    return came


def answers_of(connection: sa.Connection, series_id: int) -> Generator[tuple[FoldedRow, FoldedAnswer], None, None]:
    """Stream the answers about a series with their rows, by fetch; damaged rows are left out."""
    own = sa.select(series_set_members.c.set_id).where(series_set_members.c.series_id == series_id)
    select = _SELECT.where(_table.set_id.in_(own)).order_by(_table.first_fetch_id)
    waiting: list[tuple[FoldedRow, FoldedAnswer]] = []
    with closing(connection.execute(select.execution_options(yield_per=_ROWS_AT_ONCE))) as result:
        for row in map(FoldedRow._make, result):
            if not row.is_intact:
                continue
            first = row.answers[0].fetch_id
            yield from (each for each in waiting if each[1].fetch_id < first)
            waiting = [each for each in waiting if each[1].fetch_id >= first]
            waiting += [(row, answer) for answer in row.answers]
            waiting.sort(key=_by_fetch)
    yield from waiting


def all_rows(connection: sa.Connection) -> Iterator[FoldedRow]:
    """Stream all rows, by id."""
    select = _SELECT.order_by(_table.id).execution_options(yield_per=_ROWS_AT_ONCE)
    with closing(connection.execute(select)) as result:
        yield from map(FoldedRow._make, result)

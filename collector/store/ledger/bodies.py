"""Evidence about answers: bodies of responses, and kinds of deviation.

The newest bodies of each kind are kept, in a bounded amount of room. Each kind of deviation is kept once, with the
first fetch that had it.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector import __version__
from collector.interval import AggInterval
from collector.model import Batch, Question, Slice, Window
from collector.store.db.schema import bodies, fetches, state
from collector.store.db.sql import BODIES, advisory_lock, upsert
from collector.store.errors import StoreCorrupt
from collector.text import EXCERPT_BYTES, excerpt
from collector.timestamps import rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime
    from typing import Any

MOST_OF_A_KIND = 20
MOST_STORED_BYTES = 64 * 1_048_576
ANSWERED = (200, 203, 206)
"""HTTP's status of a response whose body may hold data."""

_SHOWN = ("fetch_id", "kind", "received_at", "status", "size", "whole", "version", "replayed_by")
_is_refused = sa.and_(fetches.c.outcome != "ok", bodies.c.status.in_(ANSWERED))
_is_waiting = sa.and_(_is_refused, bodies.c.whole, bodies.c.replayed_by.is_(None))


class NewBody(NamedTuple):
    """A body to keep.

    It has the question of its fetch as JSON, and the packed body; *size* is the number of received bytes.
    """

    fetch_id: int
    kind: str
    received_at: datetime
    status: int
    size: int
    packed: Packed
    question: str


@dataclass(frozen=True, slots=True)
class KeptBody:
    """A kept body without its content; *refused*: nothing of it was stored, so that it may be replayed if *whole*."""

    fetch_id: int
    kind: str
    received_at: datetime
    status: int
    size: int
    whole: bool
    version: str
    replayed_by: int | None
    refused: bool

    @property
    def replayable(self) -> bool:
        """Return whether a later version may read it."""
        return self.refused and self.whole and self.replayed_by is None


class Stored(NamedTuple):
    """What decides whether a kept body stays: *stored* counts the bytes that it takes."""

    fetch_id: int
    kind: str
    stored: int


def surplus(kept: Iterable[Stored], most: int = MOST_STORED_BYTES, of_a_kind: int = MOST_OF_A_KIND) -> list[int]:
    """Return the fetch_ids of the bodies to delete, so that at most *of_a_kind* of each kind and *most* bytes stay.

    The oldest are deleted first, and the newest of each kind last.
    """
    newest: dict[str, int] = {}
    gone, stay = [], list[Stored]()
    for body in sorted(kept, reverse=True):
        newest[body.kind] = newest.get(body.kind, 0) + 1
        if newest[body.kind] > of_a_kind:
            gone.append(body.fetch_id)
        else:
            stay.append(body)
    firsts = {body.kind: body.fetch_id for body in reversed(stay)}
    room = most - sum(body.stored for body in stay)
    for body in sorted(stay, key=lambda body: (firsts[body.kind] == body.fetch_id, body.fetch_id)):
        if room >= 0:
            break
        gone.append(body.fetch_id)
        room += body.stored
    return gone


def keep(connection: sa.Connection, body: NewBody) -> bool:
    """Store a body once, and delete the surplus. Returns False if it is surplus or its fetch is not on record."""
    advisory_lock(connection, BODIES)
    known = sa.select(fetches.c.id).where(fetches.c.id == body.fetch_id)
    if connection.execute(known).first() is None:
        return False
    row = {
        **{name: getattr(body, name) for name in ("fetch_id", "kind", "received_at", "status", "size", "question")},
        "stored": len(body.packed.data) + len(body.question),
        "whole": body.packed.whole,
        "version": __version__,
        "body": body.packed.data,
    }
    connection.execute(upsert(connection, bodies).values(row).on_conflict_do_nothing())
    rows = connection.execute(sa.select(bodies.c.fetch_id, bodies.c.kind, bodies.c.stored))
    gone = surplus(Stored(*columns) for columns in rows)
    connection.execute(sa.delete(bodies).where(bodies.c.fetch_id.in_(gone)))
    return body.fetch_id not in gone


def list_bodies(connection: sa.Connection, *, waiting: bool = False) -> list[KeptBody]:
    """List the kept bodies, the oldest first; if *waiting*, only those that may be replayed."""
    refused = sa.case((_is_refused, 1), else_=0).label("refused")
    select = sa.select(*(bodies.c[name] for name in _SHOWN), refused)
    select = select.join_from(bodies, fetches, fetches.c.id == bodies.c.fetch_id).order_by(bodies.c.fetch_id)
    rows = connection.execute(select.where(_is_waiting) if waiting else select).mappings()
    return [KeptBody(**{**row, "whole": bool(row["whole"]), "refused": bool(row["refused"])}) for row in rows]


def content(connection: sa.Connection, fetch_id: int) -> bytes | None:
    """Return the kept body of a fetch, or its kept part; None if it is not kept. Raises StoreCorrupt for damage."""
    select = sa.select(bodies.c.body, bodies.c.size, bodies.c.whole).where(bodies.c.fetch_id == fetch_id)
    row = connection.execute(select).one_or_none()
    if row is None:
        return None
    try:
        body = unpack(row.body, row.size + EXCERPT_BYTES)
    except ValueError as error:
        raise StoreCorrupt(f"the kept body of fetch {fetch_id} is damaged ({error})") from None
    if row.whole and len(body) != row.size:
        raise StoreCorrupt(f"the kept body of fetch {fetch_id} is damaged ({len(body)} of {row.size} bytes are there)")
    return body


def question(connection: sa.Connection, fetch_id: int) -> Batch | None:
    """Read the question of the fetch of a kept body.

    None if there is none. Raises StoreCorrupt if the record is damaged.
    """
    text = connection.execute(sa.select(bodies.c.question).where(bodies.c.fetch_id == fetch_id)).scalar()
    try:
        return None if text is None else read_question(text)
    except ValueError as error:
        raise StoreCorrupt(f"the question of the kept body of fetch {fetch_id} is damaged ({error})") from None


def mark_read(connection: sa.Connection, fetch_ids: Collection[int]) -> None:
    """Record that this version could not read bodies."""
    read = sa.update(bodies).where(bodies.c.fetch_id.in_(list(fetch_ids)))
    connection.execute(read.values(version=__version__))


def delete_of_series(connection: sa.Connection, digest: str, *, dry_run: bool) -> int:
    """Delete the bodies of questions about this series alone, or count them."""
    about = sa.select(bodies.c.fetch_id, bodies.c.question).where(bodies.c.question.contains(digest, autoescape=True))
    alone = [row.fetch_id for row in connection.execute(about) if _is_about_one(row.question)]
    if alone and not dry_run:
        connection.execute(sa.delete(bodies).where(bodies.c.fetch_id.in_(alone)))
    return len(alone)


def _is_about_one(text: str) -> bool:
    return len({slice_.series for slice_ in read_question(text).slices}) == 1


def kept_fetches(connection: sa.Connection, fetch_ids: Sequence[int]) -> set[int]:
    """Return those of *fetch_ids* whose body is kept."""
    select = sa.select(bodies.c.fetch_id).where(bodies.c.fetch_id.in_(fetch_ids))
    return set(connection.execute(select).scalars())


def findings(connection: sa.Connection) -> list[str]:
    """Return a sentence for each kept body that is damaged, or whose fetch is not on record."""
    problems = []
    ids = connection.execute(sa.select(bodies.c.fetch_id).order_by(bodies.c.fetch_id)).scalars().all()
    known = sa.select(bodies.c.fetch_id).join(fetches, fetches.c.id == bodies.c.fetch_id)
    strays = set(ids) - set(connection.execute(known).scalars())
    problems += [f"a body is kept of fetch {fetch_id}, which is not on record" for fetch_id in sorted(strays)]
    for fetch_id in ids:  # one at a time: each may be large
        try:
            content(connection, fetch_id)
            question(connection, fetch_id)
        except StoreCorrupt as error:
            problems.append(str(error))
    return problems


MOST_BYTES = 1_048_576
"""A body that takes more than this once compressed is kept as an excerpt."""
_CHUNK = 65_536


class Packed(NamedTuple):
    """A compressed body; it is *whole*, or *data* holds an excerpt."""

    data: bytes
    whole: bool


def pack(content: bytes, *, whole: bool = True) -> Packed:
    """Compress a body, or the excerpt of one that is not *whole* or that stays too large."""
    if whole and (data := _compressed(content)) is not None:
        return Packed(data, whole=True)
    return Packed(zlib.compress(excerpt(content)), whole=False)


def _compressed(content: bytes) -> bytes | None:
    """Compress *content*; None as soon as it takes too many bytes."""
    packer, parts, size = zlib.compressobj(), list[bytes](), 0
    view = memoryview(content)
    for start in range(0, len(view), _CHUNK):
        parts.append(packer.compress(view[start : start + _CHUNK]))
        size += len(parts[-1])
        if size > MOST_BYTES:
            return None
    data = b"".join([*parts, packer.flush()])
    return data if len(data) <= MOST_BYTES else None


def unpack(data: bytes, size: int) -> bytes:
    """Return what was packed, at most *size* bytes. Raises ValueError if *data* is damaged or holds more."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) > size or not inflater.eof:
        raise ValueError("its length is not what it was")
    return content


def write_question(batch: Batch) -> str:
    """Write *batch* as JSON: each series once, by its digest, and the slices in the order of their positions."""
    series = {slice_.series.digest: _series(slice_.series) for slice_ in batch.slices}
    slices = [
        [slice_.series.digest, rfc3339(slice_.window.start), rfc3339(slice_.window.end)] for slice_ in batch.slices
    ]
    return json.dumps({"series": series, "slices": slices}, ensure_ascii=False, separators=(",", ":"))


def _series(query: Question) -> dict[str, Any]:
    return {
        "dataset": query.dataset,
        "dimension": query.dimension,
        "group": query.group,
        "agg_interval": query.agg_interval.value,
        "filters": {name: list(values) for name, values in query.filters.items()},
        **({"normalization": query.normalization} if query.normalization else {}),
        **({"most_groups": query.most_groups} if query.most_groups else {}),
    }


def read_question(text: str) -> Batch:
    """Parse the text of `write_question`. Raises ValueError for any other text."""
    try:
        document = json.loads(text)
        queries = {digest: _query(**fields) for digest, fields in document["series"].items()}
        windows = [(queries[digest], Window(utc(start), utc(end))) for digest, start, end in document["slices"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if not windows or any(query.digest != digest for digest, query in queries.items()):
        raise ValueError("its series are not what they were")
    return Batch(tuple(Slice(query, window) for query, window in windows))


def _query(agg_interval: str, filters: dict[str, list[str]], **names: Any) -> Question:
    return Question(AggInterval(agg_interval), {name: tuple(values) for name, values in filters.items()}, **names)


_PREFIX = "deviation:"


class Deviation(NamedTuple):
    """What answers have otherwise than usual, the fetch that had it first, and one whose body is kept, if any."""

    kind: str
    first_seen: datetime
    fetch_id: int
    example: int | None = None


def note(connection: sa.Connection, kinds: Sequence[str], fetch_id: int, now: datetime) -> list[str]:
    """Record new kinds, and name them in the message of the fetch.

    Returns the new ones; repeating it changes nothing.
    """
    value = json.dumps({"first_seen": rfc3339(now), "fetch": fetch_id})
    new = []
    for kind in kinds:
        insert = upsert(connection, state).values(key=_PREFIX + kind, value=value)
        added = insert.on_conflict_do_nothing().returning(state.c.key)
        new += [kind] if connection.execute(added).first() else []
    if new:
        text = f"reader: {'; '.join(new)}"
        connection.execute(sa.update(fetches).where(fetches.c.id == fetch_id).values(message=text))
    return new


def set_example(connection: sa.Connection, kinds: Sequence[str], fetch_id: int) -> None:
    """Record the kept body of a fetch as the example of these kinds, if they are on record."""
    keys = [_PREFIX + kind for kind in kinds]
    rows = connection.execute(sa.select(state.c.key, state.c.value).where(state.c.key.in_(keys)))
    for row in rows.all():
        value = json.dumps(json.loads(row.value) | {"example": fetch_id})
        connection.execute(sa.update(state).where(state.c.key == row.key).values(value=value))


def without_example(connection: sa.Connection, kinds: Sequence[str]) -> list[str]:
    """Return those of *kinds* that have no kept body as an example."""
    shown = {deviation.kind for deviation in list_deviations(connection) if deviation.example is not None}
    return [kind for kind in kinds if kind not in shown]


def list_deviations(connection: sa.Connection) -> list[Deviation]:
    """List the kinds on record, the oldest first."""
    select = sa.select(state.c.key, state.c.value).where(state.c.key.startswith(_PREFIX, autoescape=True))
    documents = {row.key: json.loads(row.value) for row in connection.execute(select)}
    examples = [document["example"] for document in documents.values() if "example" in document]
    is_kept = sa.select(bodies.c.fetch_id).where(bodies.c.fetch_id.in_(examples))
    kept = set(connection.execute(is_kept).scalars())
    deviations = [
        Deviation(
            key.removeprefix(_PREFIX),
            utc(document["first_seen"]),
            document["fetch"],
            document["example"] if document.get("example") in kept else None,
        )
        for key, document in documents.items()
    ]
    return sorted(deviations, key=lambda deviation: (deviation.first_seen, deviation.kind))

"""`/api/v1/points` with words such as per and share, `/api/v1/stats` and `/api/v1/top`."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from collector.analysis.words import Words, make_words
from collector.errors import UsageError
from collector.report.analysis.counted import figure_notes
from collector.report.analysis.output import json_objects, plain_rows, rows_as_csv, write_csv
from collector.report.analysis.points import PointsAnswer, answer_points
from collector.report.analysis.stats import COLUMNS as STATS_COLUMNS
from collector.report.analysis.stats import answer_stats
from collector.report.analysis.top import answer_top, top_columns
from collector.report.export import LICENCE
from collector.serve.api.parameters import RequestRejected, read_offset, write_cursor
from collector.serve.api.points import MAX_ROWS, point_query, select_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from collector.serve.api.parameters import QueryParameters
    from collector.store import PointQuery, ReadView, Store

    Rows = list[dict[str, Any]]


class RowsAnswer(NamedTuple):
    """Rows, the names of their columns in order, and sentences about them."""

    rows: Rows
    columns: Sequence[str]
    notes: Sequence[str]


WORDS = tuple(Words.__dataclass_fields__)
_STATS_WORDS = ("per", "of", "within")
_TOP_WORDS = ("top", "of", "within", "compare", "growth")
_SELECTION = ("profile", "start", "end", "as_of", "format")
STATS = ("series", *_SELECTION, *_STATS_WORDS)
TOP = (*_SELECTION, *_TOP_WORDS)
_DEFAULT_TOP = 10
_MAX_ROWS_AT_ONCE = 1_000_000


def read_words(parameters: QueryParameters, names: Sequence[str] = WORDS) -> Words:
    """Return the words of a request. Raises RequestRejected for an invalid one."""
    try:
        return make_words({name: parameters.first(name) for name in names}, parameters.now)
    except UsageError as error:
        raise RequestRejected(str(error)) from None


async def list_points(store: Store, parameters: QueryParameters, words: Words) -> str:
    """Return one page of points with what *words* derive from them, as JSON."""
    limit, offset = parameters.number("limit", MAX_ROWS, 1_000), read_offset(parameters)
    chosen = point_query(parameters)
    return await store.with_read_view(lambda view: _page(_answer(view, chosen, words), limit, offset))


def _answer(view: ReadView, chosen: PointQuery, words: Words) -> PointsAnswer:
    """Return the answer. Raises RequestRejected if there is none, or if it takes too much memory."""
    select_known(view, chosen)
    try:
        answer = answer_points(view, chosen, words)
    except UsageError as error:
        raise RequestRejected(str(error)) from None
    if answer.rows_at_once > _MAX_ROWS_AT_ONCE:
        raise RequestRejected(f"more than {_MAX_ROWS_AT_ONCE} values to compare: use a shorter range or a longer per")
    return answer


def _page(answer: PointsAnswer, limit: int, offset: int) -> str:
    texts: list[str] = []
    for first, line in answer.lines(offset):
        begin = max(offset - first, 0)
        texts += json_objects(answer, line, begin, begin + limit - len(texts))
        if len(texts) >= limit:
            break
    end = offset + limit
    following = json.dumps(write_cursor(end) if end < answer.rows else None)
    notes = json.dumps(list(answer.notes), ensure_ascii=False)
    return f'{{"points":[{",".join(texts)}],"notes":{notes},"next":{following}}}'


async def stream_csv(
    store: Store, parameters: QueryParameters, words: Words, request: web.Request
) -> web.StreamResponse:
    """Stream the same as CSV. Headers have the licence."""
    chosen = point_query(parameters)

    def texts(view: ReadView) -> Iterator[str]:
        yield from write_csv(_answer(view, chosen, words))

    response = web.StreamResponse(headers=_csv_headers("points.csv"))
    async with aclosing(store.stream_view(texts)) as parts:
        head = await anext(parts)  # before the response begins, because the request may be rejected
        await response.prepare(request)
        await response.write(head.encode())
        async for text in parts:
            await response.write(text.encode())
    await response.write_eof()
    return response


def _csv_headers(name: str) -> dict[str, str]:
    return {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Licence": LICENCE,
    }


async def list_stats(store: Store, parameters: QueryParameters) -> RowsAnswer:
    """Return the figures of each series."""
    words = read_words(parameters, _STATS_WORDS)
    rows, notes = await _rows(store, parameters, words, answer_stats)
    return RowsAnswer(rows, STATS_COLUMNS, notes)


async def list_top(store: Store, parameters: QueryParameters) -> RowsAnswer:
    """Return the largest series of each profile and the rest."""
    words = read_words(parameters, _TOP_WORDS)
    if words.top is None:
        words = replace(words, top=_DEFAULT_TOP)
    rows, notes = await _rows(store, parameters, words, answer_top)
    return RowsAnswer(rows, top_columns(words), notes)


async def _rows(
    store: Store,
    parameters: QueryParameters,
    words: Words,
    answer: Callable[[ReadView, PointQuery, Words], Rows],
) -> tuple[Rows, list[str]]:
    chosen = point_query(parameters)

    def work(view: ReadView) -> tuple[Rows, list[str]]:
        select_known(view, chosen)
        try:
            rows = answer(view, chosen, words)
        except UsageError as error:
            raise RequestRejected(str(error)) from None
        return rows, figure_notes(view, chosen, rows)

    return await store.with_read_view(work)


def as_document(name: str, answer: RowsAnswer) -> dict[str, Any]:
    """Return the rows under *name*, with their keys in the order of the columns, and the notes."""
    rows = [{key: row[key] for key in answer.columns} for row in plain_rows(answer.rows)]
    return {name: rows, "notes": [*answer.notes]}


def as_csv(name: str, answer: RowsAnswer) -> web.Response:
    """Return the rows as a file of CSV."""
    return web.Response(text="".join(rows_as_csv(answer.rows, answer.columns)), headers=_csv_headers(f"{name}.csv"))

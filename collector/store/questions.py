"""A batch as JSON and back, exactly: what a kept body was the answer to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from collector.model import AggInterval, Batch, SeriesQuery, Slice, Window, rfc3339, utc

if TYPE_CHECKING:
    from typing import Any


def write_question(batch: Batch) -> str:
    """Write *batch* as JSON: each series once, by its digest, and the slices in the order of their positions."""
    series = {piece.series.digest: _series(piece.series) for piece in batch.slices}
    slices = [[one.series.digest, rfc3339(one.window.start), rfc3339(one.window.end)] for one in batch.slices]
    return json.dumps({"series": series, "slices": slices}, ensure_ascii=False, separators=(",", ":"))


def _series(query: SeriesQuery) -> dict[str, Any]:
    return {
        "dataset": query.dataset,
        "dimension": query.dimension,
        "group": query.group,
        "agg_interval": query.agg_interval.value,
        "filters": {name: list(values) for name, values in query.filters.items()},
    }


def read_question(text: str) -> Batch:
    """Read what `write_question` has written; ValueError for anything else."""
    try:
        document = json.loads(text)
        queries = {digest: _query(**found) for digest, found in document["series"].items()}
        windows = [(queries[digest], Window(utc(start), utc(end))) for digest, start, end in document["slices"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if not windows or any(query.digest != digest for digest, query in queries.items()):
        raise ValueError("its series are not what they were")
    return Batch(tuple(Slice(query, window) for query, window in windows))


def _query(agg_interval: str, filters: dict[str, list[str]], **names: str) -> SeriesQuery:
    return SeriesQuery(AggInterval(agg_interval), {name: tuple(values) for name, values in filters.items()}, **names)

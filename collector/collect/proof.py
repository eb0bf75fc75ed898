"""Keep up the comparison of groups with a total from another answer: `collector.rules.proof` has the rule.

differing buckets (store)  →  read both again, once  →  compare what can be compared since (store)

Only what became comparable since the last call is compared, some buckets in one transaction. A difference that this
call finds is read again by the next one, so that some time lies between the two answers. What still differs then stays
as it is. A value that the second reading changed is final again after a third one a day later, like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.collect.batches.pending_slices import BatchResult
from collector.collect.confirm import read_again
from collector.model import Slice, Window
from collector.rules.finality import DAY
from collector.store import total_of
from collector.timestamps import from_epoch
from collector.windows import intersect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.model import Question
    from collector.profile import Profile
    from collector.store import Store
    from collector.windows import EpochWindow


async def prove(profiles: Sequence[Profile], now: datetime, store: Store, batch_runner: BatchRunner) -> BatchResult:
    """Read differing buckets of *profiles* again, and compare those that became comparable."""
    names: dict[Question, list[str]] = {}
    for profile in await store.placed(profiles):
        for series in profile.series:
            names.setdefault(series.query, []).append(profile.name)
    queries = [query for query in names if query.has_groups]
    if not queries:
        return BatchResult()
    result = await _read_differing(queries, names, now, batch_runner)
    for query in queries:
        after: int | None = 0
        while after is not None and not batch_runner.fetcher.stop.is_set():
            after = await store.compare_sums(query, after)
    return result


async def _read_differing(
    queries: Sequence[Question], names: Mapping[Question, Sequence[str]], now: datetime, batch_runner: BatchRunner
) -> BatchResult:
    """Read both values of each bucket that differs again, within the maximum of requests per hour."""
    fetcher, store = batch_runner.fetcher, batch_runner.fetcher.store
    differing = {query: join_near(spans) for query, spans in (await store.differing_windows(queries)).items()}
    if not differing:
        return BatchResult()
    since = fetcher.clock()
    asked = {total_of(query): names.get(total_of(query), names[query]) for query in differing}
    windows: dict[Question, list[Window]] = {}
    for query, spans in differing.items():
        for question in (query, total_of(query)):
            windows.setdefault(question, []).extend(map(_window, spans))
    slices = [Slice(question, window) for question, of_one in windows.items() for window in of_one]
    result = await read_again(slices, {**names, **asked}, now, batch_runner)
    for query, spans in differing.items():
        read = await _covered(query, spans, since, store)
        both = intersect(read, await _covered(total_of(query), spans, since, store))
        if both:
            await store.mark_reread(query, both, now)
    return result


async def _covered(query: Question, spans: Sequence[EpochWindow], since: datetime, store: Store) -> list[EpochWindow]:
    """Return the parts of *spans* that answers from *since* on have covered."""
    covered = [part for span in spans for part in await store.covered_windows(query, _window(span), since)]
    return [(int(part.start.timestamp()), int(part.end.timestamp())) for part in covered]


def join_near(windows: Sequence[EpochWindow]) -> list[EpochWindow]:
    """Join ascending windows that are less than a day apart, so that they share a position of a request."""
    joined: list[EpochWindow] = []
    for start, end in windows:
        if joined and start - joined[-1][1] < DAY:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


def _window(span: EpochWindow) -> Window:
    return Window(from_epoch(span[0]), from_epoch(span[1]))

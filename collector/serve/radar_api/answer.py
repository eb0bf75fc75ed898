"""A question, answered from one state of the history.

read                               decide (pure)                    write
series, spans, points, what the  →  sources, sums or a refusal  →  pieces of JSON or CSV
answers said of themselves
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from itertools import chain
from typing import TYPE_CHECKING

from collector.contract.errors import ApiError, bad_request, quote
from collector.datasets import DEFAULT, is_snapshot
from collector.interval import Grid
from collector.model import AggInterval, from_epoch, spelling_free
from collector.report.absent_buckets import AbsentBuckets, StoredExtent, published_absences, rejection
from collector.report.snapshot_range import why_outside
from collector.serve.radar_api.extents import ALWAYS, Known
from collector.serve.radar_api.parameters import read_local
from collector.serve.radar_api.render import Said, pieces
from collector.serve.radar_api.resolver import NO_HISTORY, Catalogue
from collector.serve.radar_api.rollup import Incomplete, Line, Sum
from collector.store import Stretch
from collector.windows import intersect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest, SeriesRequest
    from collector.datasets import Dataset
    from collector.serve.radar_api.parameters import LocalQuestion
    from collector.serve.radar_api.resolver import Source
    from collector.store import History, Snapshot, Store

UNASSIGNED = 4
"""The confidence level of values of which no answer is on record."""
MOST_POINTS = 1_000_000
"""How many stored points one answer may be made of: 28 years of one series at 15m."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer before it is written: *points* in all its lines; *pieces* gives its text, part by part."""

    question: ApiRequest
    lines: tuple[Line, ...]
    said: Said
    absent: tuple[AbsentBuckets, ...] = ()

    @property
    def points(self) -> int:
        """How many points the answer holds."""
        return sum(len(line.timestamps) for line in self.lines)

    @property
    def content_type(self) -> str:
        """The media type of the text."""
        return "text/csv" if self.question.format == "CSV" else "application/json"

    def pieces(self) -> Iterator[str]:
        """Write the answer."""
        return pieces(self.question, self.lines, self.said, self.absent)


class NotStored(ApiError):
    """Nothing is stored in the range, or it begins before the first stored bucket; *answered* is what there is."""

    def __init__(self, message: str, answered: Answered) -> None:
        super().__init__(NO_HISTORY, message)
        self.answered = answered


async def ask(store: Store, raw_query: str, now: datetime, dataset: Dataset = DEFAULT) -> Answered:
    """Answer the question *raw_query* (the part behind the `?`, encoded) about *dataset* as of *now*.

    ApiError says why it cannot be answered; StoreError where the store cannot be read.
    """
    return await answer(store, read_local(dataset, raw_query, now.timestamp(), await store.grids()))


async def answer(store: Store, local: LocalQuestion) -> Answered:
    """Answer a question that was read; raises as `ask` does."""
    as_of = None if local.as_of is None else from_epoch(local.as_of)
    now = local.now if local.as_of is None else local.as_of
    return await store.ask_history(lambda history: _answer(history, local.question, now), as_of)


async def _answer(history: History, question: ApiRequest, now: float) -> Answered:
    catalogue = Catalogue(await history.series(question.dataset.name))
    catalogue, question = await _where_stored(history, catalogue, question)
    question, sources = await _choose(history, catalogue, question)
    taken = await _taken(history, sources)
    known = await _known(history, question, sources, taken)
    pick = [_in_order(found, asked, known) for found, asked in zip(sources, question.series, strict=True)]
    for asked, found in zip(question.series, pick, strict=True):
        if not found:
            raise _named(ApiError(NO_HISTORY, "Nothing was known then for these filters"), asked, question)
        reason = next((why_outside(asked, taken[i], from_epoch(now)) for i in _ids(found) if i in taken), None)
        if reason:
            raise _named(bad_request(reason), asked, question)
    lines, used = await _lines(history, question, pick, known)
    absent, refused = await _absent(history, question, (lines, used), taken, now)
    answered = Answered(question, lines, await _said(history, question, used, known, taken), absent)
    if refused is not None:
        raise NotStored(refused, answered)
    return answered


async def _absent(
    history: History,
    question: ApiRequest,
    answered: tuple[Sequence[Line], Sequence[Source]],
    taken: Mapping[int, Snapshot],
    now: float,
) -> tuple[tuple[AbsentBuckets, ...], str | None]:
    """Find the buckets that are absent of the answer, and why it must be refused, if it must.

    *answered* are the lines, and the source of each. What a snapshot lacks inside of its range, Radar did not have.
    """
    step = question.agg_interval.seconds
    each = list(zip(question.series, *answered, strict=True))
    short = [one for one in each if len(one[1].timestamps) < (one[0].end - one[0].start) // step]
    ids = {part.id for _, _, source in short for part in source.parts}
    published = await history.published(ids, now) if ids else {}
    lacking = []
    for asked, line, source in short:
        until = min(published[part.id] for part in source.parts)
        if runs := published_absences(line.timestamps, (asked.start, asked.end), step, until):
            lacking.append((asked, line, source, runs))
    found = tuple(AbsentBuckets(asked.name, question.agg_interval, tuple(runs)) for asked, _, _, runs in lacking)
    lacking = [one for one in lacking if one[2].parts[0].id not in taken]
    kept = await _kept(history, [source for _, _, source, _ in lacking])
    for (asked, line, _, runs), one in zip(lacking, kept, strict=True):
        why = rejection(line.timestamps, (asked.start, asked.end), runs, one)
        if why is not None:
            return found, _named(bad_request(why), asked, question).message
    return found, None


async def _kept(history: History, sources: Sequence[Source]) -> list[StoredExtent]:
    """Read what decides whether a range of which buckets are absent is answered."""
    ids = {part.id for source in sources for part in source.parts}
    spans, proven = (await history.spans(ids), await history.proven_absent(ids)) if ids else ({}, {})
    found = []
    for source in sources:
        parts = {part.id for part in source.parts}
        ends = [spans[i] for i in parts] if parts <= spans.keys() else []
        oldest, newest = max((a for a, _ in ends), default=None), min((b for _, b in ends), default=None)
        ranges = tuple(reduce(intersect, [proven.get(i, []) for i in parts]))
        found.append(StoredExtent(source.agg_interval, oldest, newest, ranges))
    return found


async def _taken(history: History, sources: Sequence[Sequence[Source]]) -> dict[int, Snapshot]:
    """Find the snapshots that answer, by series_id."""
    parts = chain.from_iterable(source.parts for found in sources for source in found)
    moving = [part.id for part in parts if is_snapshot(part.query)]
    return await history.snapshots(moving) if moving else {}


def _ids(sources: Sequence[Source]) -> list[int]:
    return [part.id for source in sources for part in source.parts]


async def _known(
    history: History, question: ApiRequest, sources: Sequence[Sequence[Source]], taken: Mapping[int, Snapshot]
) -> Known:
    """Look up how far series reach only where that decides: what may be read plainly and at once has no choice."""
    parts = {part.id: part for part in chain.from_iterable(s.parts for found in sources for s in found)}
    told = await history.last_updated(parts) | {i: one.last_updated for i, one in taken.items()}
    plain = all(len(found) == 1 and not found[0].is_summed(question.agg_interval) for found in sources)
    if plain and question.buckets <= MOST_POINTS and told.keys() == parts.keys():
        return Known(dict.fromkeys(parts, ALWAYS), told)
    spans = await history.spans(parts) | dict.fromkeys(taken, ALWAYS)
    for series_id, (_, newest) in spans.items():  # retention may have dropped the fetch and kept the point
        told.setdefault(series_id, from_epoch(newest) + parts[series_id].query.agg_interval.step)
    return Known(spans, told)


async def _in_force(history: History, catalogue: Catalogue, asked: SeriesRequest) -> Catalogue:
    """Give the catalogue with the units that are in force in the range that is asked for."""
    changed = catalogue.changed(asked.query)
    if not changed:
        return catalogue
    return catalogue.replaced([await history.within(kept, asked.start, asked.end) for kept in changed])


async def _where_stored(history: History, catalogue: Catalogue, question: ApiRequest) -> tuple[Catalogue, ApiRequest]:
    """Ask on a former grid where nothing else is stored in the range."""
    former = {}
    for asked in question.series:
        kept = catalogue.kept(asked.query)
        if kept and kept.elsewhere and (one := await history.on_former_grid(kept, asked.start, asked.end)):
            former[kept] = one
    if not former:
        return catalogue, question
    offset = timedelta(seconds=next(one.former_offset or 0 for one in former.values()))
    others = [
        replace(kept, id=one.id, normalization=one.normalization, unit=one.unit, generations=())
        for kept, one in former.items()
    ]
    return catalogue.replaced(others), question.on(Grid(question.agg_interval, offset))


async def _choose(
    history: History, catalogue: Catalogue, question: ApiRequest
) -> tuple[ApiRequest, list[list[Source]]]:
    """Find the sources of every position; where no interval was named, at a coarser one if only there all have any."""
    refused: ApiError | None = None
    for interval in AggInterval:
        if interval.seconds < question.agg_interval.seconds:
            continue
        tried = question.at(interval)
        catalogues = [await _in_force(history, catalogue, asked) for asked in tried.series]
        sources = [
            [one for one in known.sources(asked.query) if _fits(one, tried)]
            for known, asked in zip(catalogues, tried.series, strict=True)
        ]
        if all(sources):
            return tried, sources
        lacking = next(n for n, found in enumerate(sources) if not found)
        reason = _why_not(catalogues[lacking], tried, lacking)
        refused = refused or _named(reason, tried.series[lacking], question)
        if not question.auto:
            break
    assert refused is not None
    raise refused


def _why_not(catalogue: Catalogue, question: ApiRequest, position: int) -> ApiError:
    """Say why nothing answers a position of *question*."""
    query = question.series[position].query
    unfit = catalogue.sources(query)
    if not unfit:
        return catalogue.refusal(query)
    fine, coarse = unfit[0].agg_interval, question.agg_interval
    return bad_request(
        f"History for these filters is kept at {fine} and cannot be summed to {coarse}: buckets of {coarse} start at "
        f"{question.grid(coarse)}, within those of {fine}"
    )


def _fits(source: Source, question: ApiRequest) -> bool:
    """Tell whether the buckets of *source* fill those that are asked for."""
    return question.grid(source.agg_interval).divides(question.grid(question.agg_interval))


def _named(refused: ApiError, asked: SeriesRequest, question: ApiRequest) -> ApiError:
    """Say which series is meant, where there are several."""
    if len(question.series) == 1:
        return refused
    return ApiError(refused.error_code, f"{quote(asked.name)[1:-1]}: {refused.message}")


def _in_order(sources: Sequence[Source], asked: SeriesRequest, known: Known) -> list[Source]:
    """Of the sources of which anything is known, put first what covers most, and of equals the more direct."""
    usable = [source for source in sources if all(part.id in known.told for part in source.parts)]
    return sorted(usable, key=lambda source: known.buckets(asked, source), reverse=True)


async def _lines(
    history: History,
    question: ApiRequest,
    pick: Sequence[Sequence[Source]],
    known: Known,
) -> tuple[tuple[Line, ...], list[Source]]:
    _check_size(question, [found[0] for found in pick], known)
    lines, used = [], []
    for asked, sources in zip(question.series, pick, strict=True):
        failed: Incomplete | None = None
        for source in sources:
            try:
                lines.append(await _line(history, asked, source, known))
            except Incomplete as error:
                failed = failed or error
                continue
            used.append(source)
            break
        else:
            raise _named(bad_request(str(failed)), asked, question)
    _check_measure(used)
    return tuple(lines), used


def _check_size(question: ApiRequest, sources: Sequence[Source], known: Known) -> None:
    points = sum(
        (stretch.end - stretch.start) // source.agg_interval.seconds
        for asked, source in zip(question.series, sources, strict=True)
        for stretch in known.stretches(asked, source)
    )
    if points > MOST_POINTS:
        raise bad_request(
            f"aggInterval {question.agg_interval} is too granular for the date range: the answer would take {points} "
            f"stored points, at most {MOST_POINTS} are read"
        )


def _check_measure(sources: Sequence[Source]) -> None:
    """An answer says one normalization and unit for all its series."""
    measures = {tuple(map(spelling_free, source.measure)): source.measure for source in sources}
    if len(measures) > 1:
        found = " and ".join(f"{normalization} in {unit}" for normalization, unit in sorted(measures.values()))
        raise bad_request(f"These series cannot stand in one answer: their values are {found}")


async def _line(history: History, asked: SeriesRequest, source: Source, known: Known) -> Line:
    if not source.is_summed(asked.query.agg_interval):
        return await _stored(history, known.stretches(asked, source)[0])
    total = Sum(known.frame(asked, source))
    for stretch in known.stretches(asked, source):
        for block in await history.points(stretch):
            total.add(block)
    return total.line(known.of(source), known.closed(source))


async def _stored(history: History, stretch: Stretch) -> Line:
    line = Line(array("q"), array("d"))
    for block in await history.points(stretch):
        timestamps, values = zip(*block, strict=True)
        line.timestamps.extend(timestamps)
        line.values.extend(values)
    return line


async def _said(
    history: History, question: ApiRequest, used: Sequence[Source], known: Known, taken: Mapping[int, Snapshot]
) -> Said:
    stretches = [
        Stretch(part.id, asked.start, asked.end)
        for asked, source in zip(question.series, used, strict=True)
        for part in source.parts
    ]
    windows = [(asked.start, asked.end) for asked in question.series]
    normalization, unit = used[0].measure
    level = await history.confidence_level(stretches)
    if level is None and not await history.is_answered(stretches):
        level = UNASSIGNED
    return Said(
        last_updated=min(known.told[stretch.series_id] for stretch in stretches),
        normalization=normalization,
        unit=unit,
        confidence_level=level,
        annotations=await history.annotations(question.dataset.name, windows),
        unit_names=await history.unit_names(unit),
        asked_at=[taken[i].asked_at if (i := source.parts[0].id) in taken else None for source in used],
    )

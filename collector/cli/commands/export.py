"""`collector export`: points for other programs, and one sentence for each label that has gaps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import click

from collector.cli.bootstrap import TIME, config_option, period_options, series_option
from collector.cli.words import words_options
from collector.contract.request_parser import floor
from collector.errors import CollectorError
from collector.interval import DEFAULT_ORIGIN
from collector.report.gaps import AbsentBuckets, absence_sentences, why_any_outside, why_no_snapshot
from collector.timestamps import from_epoch, rfc3339
from collector.windows import absent_windows

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from datetime import datetime

    from collector.analysis.words import Words
    from collector.cli.atomic_file import Sink
    from collector.interval import AggInterval
    from collector.settings import Settings
    from collector.store import AsOfReader, Block, PointQuery, ReadView, Store


@click.command("export")
@click.argument("profiles", nargs=-1, metavar="[PROFILE]...")
@series_option
@period_options
@words_options()
@click.option("--as-of", type=TIME, metavar="T", help="Export the values that were known at T. Default: now.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["csv", "jsonl", "json", "parquet"]),
    default="csv",
    show_default=True,
    help="Write this format; parquet needs the extra `parquet`.",
)
@click.option(
    "-o",
    "--output",
    "target",
    default="-",
    metavar="FILE",
    help="Write to FILE, complete or not at all. Default: -, which is stdout.",
)
@config_option
def export_command(
    profiles: tuple[str, ...],
    series: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    output: str,
    target: str,
    config: str | None,
    **values: Any,
) -> None:
    """Export points as profile, series, timestamp, value. Without PROFILE, all profiles are exported.

    --per, --share, --rank, --compare, --growth, --cumulative and --mean add columns. A cell that would not be true,
    because buckets are missing, is empty, and `reason` says why. --top keeps the largest series of each profile.

    All formats except CSV also contain the unit of every point. For CSV, a line on stderr says if the unit of a series
    changes.

    \b
    Example: collector export by-owner --start 2026-01-01 --format jsonl -o owners.jsonl
    Example: collector export by-owner --per month --share --top 5
    """
    import asyncio
    import sys

    from collector.cli.bootstrap import load_settings
    from collector.cli.words import read_words
    from collector.report.export import LICENCE
    from collector.store import PointQuery

    if output == "parquet" and target == "-" and sys.stdout.isatty():
        raise click.UsageError("Parquet cannot be printed on a terminal; write it to a file with -o.")
    settings = load_settings(config, required=False)
    chosen, words = PointQuery(profiles=profiles, series=series, start=start, end=end, as_of=as_of), read_words(values)
    if words:
        points = asyncio.run(_export_answer(settings, chosen, words, output, target))
    else:
        points = asyncio.run(_export(settings, chosen, output, target))
    if target != "-":
        click.echo(f"{target}: {points:,} points", err=True)
    click.echo(LICENCE, err=True)


async def _export(
    settings: Settings,
    chosen: PointQuery,
    output: str,
    target: str,
) -> int:
    """Write the points to *target*. Returns their number."""
    from contextlib import aclosing

    from collector.cli.atomic_file import open_output
    from collector.cli.output import check_profile, check_series, say
    from collector.report.export import FORMATS
    from collector.report.warnings import UnitWatch
    from collector.store import Store

    written, watch = 0, UnitWatch()
    snapshot_times: dict[tuple[str, str], datetime] = {}
    times, as_of = (chosen.start, chosen.end, chosen.as_of), chosen.as_of

    async def counted() -> AsyncGenerator[Block, None]:
        nonlocal written
        async with aclosing(store.export_blocks(chosen.profiles, *times, snapshot_times, chosen.series)) as blocks:
            async for block in blocks:
                written += len(block.points)
                gaps.see(block.profile, block.label, block.points)
                if output == "csv" and (change := watch.change(block)):
                    say(change)
                yield block

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        for profile in chosen.profiles:
            await check_profile(store, profile)
        await check_series(store, chosen.profiles, chosen.series)
        gaps = await ExportGaps.of(store, chosen)
        async with aclosing(counted()) as blocks:
            with open_output(target) as stream:
                async for part in FORMATS[output](blocks, snapshot_times):
                    stream.write(part)
        replaced = await store.with_read_view(lambda view: why_no_snapshot(view, view.selected(chosen), as_of))
    if as_of and not written and not replaced:
        say(f"no point was known at {rfc3339(as_of)}")
    for sentence in replaced:
        say(sentence)
    for profile, time in sorted({(profile, time) for (profile, _), time in snapshot_times.items()}):
        say(f"{profile}: the snapshot of {rfc3339(time)}")
    for sentence in gaps.sentences():
        say(sentence)
    return written


async def _export_answer(settings: Settings, chosen: PointQuery, words: Words, output: str, target: str) -> int:
    """Write points with what *words* derive from them to *target*. Returns the number of rows."""
    from collector.cli.atomic_file import open_output
    from collector.cli.output import check_profile, check_series, say
    from collector.report.analysis.output import WRITERS, write_parquet
    from collector.report.analysis.points import answer_points
    from collector.report.export import check_parquet
    from collector.store import Store

    if output == "parquet":
        check_parquet()

    def work(view: ReadView, stream: Sink) -> tuple[int, list[str]]:
        answer = answer_points(view, chosen, words)
        if output == "parquet":
            write_parquet(answer, stream)
        else:
            for text in WRITERS[output](answer):
                stream.write(text.encode())
        return answer.rows, [*answer.notes]

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        for profile in chosen.profiles:
            await check_profile(store, profile)
        await check_series(store, chosen.profiles, chosen.series)
        with open_output(target) as stream:
            rows, notes = await store.with_read_view(lambda view: work(view, stream))
    for note in notes:
        say(note)
    return rows


MAX_GAPS = 6
"""Number of gaps of one label that are listed; the others are only counted."""


@dataclass(slots=True)
class _Label:
    """The requested buckets of one label: [start, end) in epoch seconds; *start* None means from the first point.

    *oldest* is the first stored bucket, or None. *at* is the expected time of the next point; *runs* are the gaps
    before it.
    """

    name: str
    agg_interval: AggInterval
    start: int | None
    end: int
    oldest: int | None
    at: int | None = None
    runs: list[tuple[int, int]] = field(default_factory=list)

    def see(self, block: Sequence[tuple[int, float]]) -> None:
        step, (first, newest) = self.agg_interval.seconds, (block[0][0], block[-1][0])
        at = self.at if self.at is not None else (first if self.start is None else self.start)
        if at != first or newest - first != (len(block) - 1) * step:
            runs = absent_windows([timestamp for timestamp, _ in block], at, newest + step, step)
            self.runs += [
                run for run in runs if run[1] - run[0] >= step
            ]  # shorter rests appear where a series has another alignment
        self.at = newest + step

    def absent(self) -> AbsentBuckets:
        at = self.at if self.at is not None else self.start
        rest = [(at, self.end)] if at is not None and at < self.end else []
        return AbsentBuckets(self.name, self.agg_interval, (*self.runs, *rest))


class ExportGaps:
    """The gaps of an export. Call `see` with every block that is written."""

    def __init__(self, labels: dict[tuple[str, str], _Label]) -> None:
        self._labels = labels

    @classmethod
    async def of(cls, store: Store, chosen: PointQuery) -> Self:
        """Read the expected buckets of a selection.

        Without a start they begin at the first stored bucket. Without start and end they end at the last stored one.
        Raises CollectorError if a snapshot does not cover the range.
        """
        start, end, as_of = chosen.start, chosen.end, chosen.as_of
        selected = await store.selected(chosen)
        if problem := why_any_outside(selected, start, end, as_of or store.clock()):
            raise CollectorError(problem)
        ids, now = {series.series_id for series in selected}, (as_of or store.clock()).timestamp()
        snapshot_ids = {series.series_id for series in selected if series.asked_at}

        def read(history: AsOfReader) -> tuple[dict[int, tuple[int, int]], dict[int, float]]:
            snapshots = history.snapshots(snapshot_ids) if snapshot_ids else {}
            windows = {
                i: (int(snapshot.start.timestamp()), int(snapshot.end.timestamp())) for i, snapshot in snapshots.items()
            }
            return history.extents(ids) | windows, history.published(ids, now)

        extents, published = await store.read_as_of(read, as_of)
        grids = await store.grids()
        labels = {}
        for series in selected:
            step = series.agg_interval.seconds
            edge = int((DEFAULT_ORIGIN + grids[series.agg_interval].offset).timestamp())
            until = floor(published[series.series_id], step, edge) if start or end else 0
            until = until if end is None else min(until, _ceiling(end, step, edge))
            first = None if start is None else _ceiling(start, step, edge)
            oldest = extents[series.series_id][0] if series.series_id in extents else None
            labels[series.profile, series.label] = _Label(series.label, series.agg_interval, first, until, oldest)
        return cls(labels)

    def see(self, profile: str, label: str, block: Sequence[tuple[int, float]]) -> None:
        """Record written points of one label, in the order of `Store.export_blocks`."""
        if block and (known := self._labels.get((profile, label))):
            known.see(block)

    def sentences(self) -> list[str]:
        """Return a sentence for each label with gaps, also if its history begins after the requested start."""
        sentences = []
        for label in self._labels.values():
            absent = label.absent()
            if not absent.windows:
                continue
            text = absence_sentences([absent], MAX_GAPS)[0]
            if label.oldest is None:
                text += "; nothing is stored"
            elif label.start is not None and label.start < label.oldest:
                text += f"; --start is before the first stored bucket, {rfc3339(from_epoch(label.oldest))}"
            sentences.append(text)
        return sentences


def _ceiling(moment: datetime, step: int, edge: int) -> int:
    start = floor(moment.timestamp(), step, edge)
    return start if start == moment.timestamp() else start + step

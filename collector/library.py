"""The Python interface: `collector.open(url)` reads a store, also beside the daemon that writes to it.

import collector

with collector.open("sqlite:///collector.db") as history:
shares = history.points("by-owner", per="month", share=True, top=5)
frame = shares.to_pandas()
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from collector.analysis.words import Words, make_words
from collector.errors import UsageError, did_you_mean
from collector.report.analysis.absent import absent_rows
from collector.report.analysis.counted import figure_notes
from collector.report.analysis.points import answer_points
from collector.report.analysis.stats import COLUMNS, answer_stats
from collector.report.analysis.top import answer_top, top_columns
from collector.store import PointQuery, ReadView
from collector.store.store import open_store
from collector.table import Table
from collector.timestamps import from_epoch, parse_time, rfc3339, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from collector.store.db.database import Database

    Time = datetime | date | str | None
    Names = str | Iterable[str] | None


_SERIES = (
    "id",
    "profile",
    "label",
    "active",
    "agg_interval",
    "filters",
    "normalization",
    "unit",
    "points",
    "first_point",
    "last_point",
)
_ANNOTATIONS = (
    "start_date",
    "end_date",
    "event_type",
    "data_source",
    "description",
    "linked_url",
    "is_instantaneous",
    "first_seen_at",
    "withdrawn_at",
)


def open(url: str) -> History:  # noqa: A001 - read as `collector.open`
    """Open the store at *url* for reading: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.

    Raises a CollectorError with a sentence: for a wrong address, a missing store, or one of another version.
    """
    return History(url)


class History:
    """What is stored. Each method reads one state of the store and returns a Table. Close it, or use it in `with`.

    Names of profiles and labels of series are texts, or lists of them. A time is an aware datetime, a date (its
    midnight in UTC), or a text as on the command line: `2026-01-31`, `7d`. *start* is inclusive, *end* is not. With
    *as_of*, values are those that were known at that moment. Errors are CollectorErrors.
    """

    def __init__(self, url: str) -> None:
        self._stack = ExitStack()
        opened = self._stack.enter_context(open_store(url, owner=None, upgrade=False, timescale=False))
        self._database: Database | None = opened.database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self._database = None
        self._stack.close()

    def profiles(self) -> Table:
        """Return the profiles that have history: interval, number of series and points, first and last bucket."""
        names = ("profile", "agg_interval", "series", "points", "first_point", "last_point")
        with self._view() as view:
            rows = [row for row in view.list_series() if row.profile and row.active]
        profiles = {row.profile: [other for other in rows if other.profile == row.profile] for row in rows}
        found = []
        for name, same in profiles.items():
            firsts = [row.first_point for row in same if row.first_point]
            lasts = [row.last_point for row in same if row.last_point]
            counts = len(same), sum(row.points for row in same)
            extent = min(firsts, default=None), max(lasts, default=None)
            found.append((name, same[0].agg_interval, *counts, *extent))
        return _table(names, found)

    def series(self, profile: Names = None) -> Table:
        """Return the series: label, filters, unit, and the extent of what is stored."""
        chosen = _names(profile)
        with self._view() as view:
            _check(view, chosen, ())
            rows = [asdict(row) for row in view.list_series() if not chosen or row.profile in chosen]
        return _of_rows(rows, _SERIES)

    def points(
        self,
        profile: Names = None,
        *,
        series: Names = None,
        start: Time = None,
        end: Time = None,
        as_of: Time = None,
        **words: Any,
    ) -> Table:
        """Return points, and what *words* derive from them.

        The words: per="hour" to "year", share=True, of=PROFILE, within=FILTER, top=N, rank=True, compare="previous",
        "1w", "4w", "52w", "usual" or a date, growth=True, cumulative=True, mean=N. `collector export --help` explains
        them. A value that would not be true is None, and `reason` says why; RequestRefused if that concerns the whole
        answer.
        """
        chosen, asked = self._query(profile, series, (start, end, as_of)), _words(words)
        with self._view() as view:
            _check(view, chosen.profiles, chosen.series)
            return _answer(view, chosen, asked) if asked else _points(view, chosen)

    def stats(  # noqa: PLR0913 - all but one are keywords
        self,
        profile: Names = None,
        *,
        series: Names = None,
        start: Time = None,
        end: Time = None,
        as_of: Time = None,
        per: str | None = None,
        of: str | None = None,
        within: str | None = None,
    ) -> Table:
        """Return figures about each series over a range, as `collector stats` does."""
        chosen, asked = (
            self._query(profile, series, (start, end, as_of)),
            _words({"per": per, "of": of, "within": within}),
        )
        with self._view() as view:
            _check(view, chosen.profiles, chosen.series)
            rows = answer_stats(view, chosen, asked)
            return _of_rows(rows, COLUMNS, figure_notes(view, chosen, rows))

    def top(  # noqa: PLR0913 - all but one are keywords
        self,
        profile: Names = None,
        *,
        start: Time = None,
        end: Time = None,
        as_of: Time = None,
        top: int | None = None,
        of: str | None = None,
        within: str | None = None,
        compare: str | date | None = None,
        growth: bool = False,
    ) -> Table:
        """Return the largest series by their sum over a range, and the rest, as `collector top` does.

        With *growth*, those that grew most in percent come first.
        """
        asked = _words({"top": top, "of": of, "within": within, "compare": compare, "growth": growth})
        chosen = self._query(profile, None, (start, end, as_of))
        with self._view() as view:
            _check(view, chosen.profiles, ())
            rows = answer_top(view, chosen, asked)
            return _of_rows(rows, top_columns(asked), figure_notes(view, chosen, rows))

    def annotations(self, *, start: Time = None, end: Time = None) -> Table:
        """Return Cloudflare's annotations, by start date."""
        with self._view() as view:
            rows = view.list_annotations(start=_time(start, "start"), end=_time(end, "end"))
        return _of_rows([asdict(row) for row in rows], _ANNOTATIONS)

    def gaps(self, profile: Names = None) -> Table:
        """Return runs of absent buckets between the first and the last bucket that is stored of a profile.

        The reason is `upstream` if Radar is proven to lack them, otherwise `missing`.
        """
        chosen = self._query(profile, None, (None, None, None))
        with self._view() as view:
            _check(view, chosen.profiles, ())
            rows = list(absent_rows(view, chosen))
        return _table(("profile", "series", "start", "end", "buckets", "reason"), rows)

    def _query(self, profile: Names, series: Names, times: tuple[Time, Time, Time]) -> PointQuery:
        start, end, as_of = map(_time, times, ("start", "end", "as_of"))
        if start and end and start > end:
            raise UsageError(f"start: {rfc3339(start)} is after end {rfc3339(end)}")
        return PointQuery(profiles=_names(profile), series=_names(series), start=start, end=end, as_of=as_of)

    @contextmanager
    def _view(self) -> Iterator[ReadView]:
        if self._database is None:
            raise UsageError("the history is closed")
        with self._database.read() as connection:
            yield ReadView(connection, self._database.location)


def _names(names: Names) -> tuple[str, ...]:
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


def _time(moment: Time, name: str) -> datetime | None:
    if moment is None:
        return None
    if isinstance(moment, str):
        try:
            return parse_time(moment, utc_now())
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from None
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.tzinfo is None:
        raise UsageError(f"{name}: {moment} names no time zone: use datetime(…, tzinfo=UTC)")
    return moment.astimezone(UTC)


def _words(values: Mapping[str, Any]) -> Words:
    compare = values.get("compare")
    if isinstance(compare, date):
        values = {**values, "compare": _time(compare, "compare")}
    return make_words(values, utc_now())


def _check(view: ReadView, profiles: Sequence[str], labels: Sequence[str]) -> None:
    """Raise UsageError for a profile or series that is not in the store."""
    if not profiles and not labels:
        return
    rows = view.list_series()
    for what, names, known in (
        ("profile", profiles, sorted({row.profile for row in rows if row.profile})),
        ("series", labels, sorted({row.label for row in rows})),
    ):
        for name in names:
            if name not in known:
                raise UsageError(f"the store has no {what} {name!r}{did_you_mean(name, known)}")


def _points(view: ReadView, chosen: PointQuery) -> Table:
    columns: dict[str, list[Any]] = {name: [] for name in ("profile", "series", "timestamp", "value", "unit")}
    for series, block in view.blocks(chosen):
        count = len(block)
        columns["profile"] += [series.profile] * count
        columns["series"] += [series.label] * count
        columns["timestamp"] += [from_epoch(timestamp) for timestamp, _ in block]
        columns["value"] += [value for _, value in block]
        columns["unit"] += [series.unit] * count
    return Table(columns)


def _answer(view: ReadView, chosen: PointQuery, words: Words) -> Table:
    answer = answer_points(view, chosen, words)
    columns: dict[str, list[Any]] = {name: [] for name in ("profile", "series", "timestamp", *answer.columns, "unit")}
    for _, line in answer.lines():
        count = len(line.starts)
        columns["profile"] += [line.profile] * count
        columns["series"] += [line.label] * count
        columns["timestamp"] += map(from_epoch, line.starts)
        columns["unit"] += [line.unit] * count
        for name in answer.columns:
            columns[name] += line.cells[name]
    return Table(columns, answer.notes)


def _of_rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str], notes: Sequence[str] = ()) -> Table:
    return Table({name: [row[name] for row in rows] for name in names}, notes)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    return Table({name: [row[at] for row in rows] for at, name in enumerate(names)})

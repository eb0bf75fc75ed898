"""The cells of one series: what the words derive from its values by period, and why a cell is empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.analysis import columns as derive
from collector.analysis.columns import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from collector.analysis.words import Words

    Cells = Sequence[Any]
    Reason = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class ReadColumns:
    """The requested periods of a series, those it is *compared* with, and the ones *before* them, for the mean."""

    main: Column
    compared: Column | None = None
    before: Column | None = None

    def __iter__(self) -> Iterator[Column | None]:
        return iter((self.main, self.compared, self.before))


def added(read: Sequence[ReadColumns]) -> ReadColumns:
    """Return the sum of several series."""
    main, compared, before = (
        derive.added([column for column in same if column is not None]) if same[0] is not None else None
        for same in zip(*read, strict=True)
    )
    assert main is not None
    return ReadColumns(main, compared, before)


def without(sums: Sequence[ReadColumns], listed: Sequence[ReadColumns]) -> ReadColumns:
    """Return what *sums* of all groups have beside the *listed* groups."""
    whole = added(sums)
    main, compared, before = (
        derive.without(column, [each for each in same if each is not None]) if column is not None else None
        for column, same in zip(whole, zip(*listed, strict=True), strict=True)
    )
    assert main is not None
    return ReadColumns(main, compared, before)


@dataclass(frozen=True, slots=True)
class Whole:
    """What the values of a series are a share of: the *column*, its *name*, and what it lacks in a period."""

    column: Column
    name: str
    lacking: Reason


def lacking(labels: Sequence[str], columns: Sequence[Column]) -> Reason:
    """Return a function that says which of *columns* lacks buckets in a period."""

    def reason(at: int) -> str:
        for label, column in zip(labels, columns, strict=True):
            if not column.whole[at]:
                return f"{label} has {counts(column, at)}"
        return "nothing is known"

    return reason


def counts(column: Column, at: int) -> str:
    """Return `3 of 24 buckets`, and how many of the others are `unknown`."""
    text = f"{column.known[at]} of {column.expected[at]} buckets"
    unknown = column.unknown[at] if column.unknown else 0
    return f"{text}, {unknown} unknown" if unknown else text


def make_cells(
    words: Words,
    read: ReadColumns,
    whole: Whole | None = None,
    ranks: Sequence[int | None] | None = None,
    not_ranked: Reason = lambda _at: "the rest has no rank",
) -> dict[str, Cells]:
    """Return the cells of every column that *words* ask for, with the reasons why cells are empty."""
    main = read.main
    cells: dict[str, Cells] = {"value": main.values, "at_most": main.at_most}
    reasons: list[tuple[str, Cells, Reason]] = []
    if words.per:
        cells |= {"known": main.known, "expected": main.expected}
    if words.share and whole:
        cells["share"] = derive.shares(main, whole.column)
        reasons.append(("share", cells["share"], _why_no_share(main, whole)))
    if words.rank:
        cells["rank"] = ranks or [None] * len(main)
        reasons.append(("rank", cells["rank"], not_ranked))
    if words.compare and read.compared is not None:
        cells["compared"] = read.compared.values
    if words.growth and read.compared is not None:
        cells["growth"] = derive.growths(main, read.compared)
        reasons.append(("growth", cells["growth"], _why_no_growth(main, read.compared)))
    if words.cumulative:
        cells["cumulative"], cells["cumulative_missing"] = derive.running(main)
    if words.mean:
        cells["mean"] = _means(read, words.mean)
        text = f"one of the last {words.mean} periods lacks buckets"
        reasons.append(("mean", cells["mean"], lambda _at: text))
    if has_reason(words):
        cells["reason"] = _reasons(len(main), reasons)
    return cells


def has_reason(words: Words) -> bool:
    """Return whether an answer has a column of reasons."""
    return bool(words.share or words.rank or words.growth or words.mean or words.top)


def column_names(words: Words, *, with_bounds: bool = False) -> tuple[str, ...]:
    """Return the columns of an answer in order, from `value` on."""
    used = {
        "value": True,
        "at_most": with_bounds,
        "known": words.per,
        "expected": words.per,
        "share": words.share,
        "rank": words.rank,
        "compared": words.compare,
        "growth": words.growth,
        "cumulative": words.cumulative,
        "cumulative_missing": words.cumulative,
        "mean": words.mean,
        "reason": has_reason(words),
    }
    return tuple(name for name, is_used in used.items() if is_used)


def _means(read: ReadColumns, count: int) -> Cells:
    before, main = read.before, read.main
    if before is None:
        return derive.means(main, count)
    both = Column([*before.values, *main.values], [*before.known, *main.known], [*before.expected, *main.expected])
    return derive.means(both, count)[len(before) :]


def _why_no_share(main: Column, whole: Whole) -> Reason:
    def reason(at: int) -> str:
        if not whole.column.whole[at]:
            return whole.lacking(at)
        if not main.whole[at]:
            return counts(main, at)
        return f"{whole.name} is 0"

    return reason


def _why_no_growth(main: Column, compared: Column) -> Reason:
    def reason(at: int) -> str:
        if not main.whole[at]:
            return counts(main, at)
        if not compared.whole[at]:
            return f"{counts(compared, at)} of the compared period"
        return "the compared value is 0"

    return reason


def _reasons(length: int, checked: Sequence[tuple[str, Cells, Reason]]) -> list[str | None]:
    reasons: list[str | None] = [None] * length
    for name, cells, reason in checked:
        if None in cells:
            for at, value in enumerate(cells):
                if value is None:
                    before = reasons[at]
                    text = f"{name}: {reason(at)}"
                    reasons[at] = f"{before}; {text}" if before else text
    return reasons

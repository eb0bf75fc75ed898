"""The words of a request, the same everywhere: per, share, of, within, top, rank, compare, growth, cumulative, mean."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from collector.analysis.periods import Per
from collector.errors import UsageError, did_you_mean
from collector.timestamps import check_date, parse_moment

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPARISONS = ("previous", "1w", "4w", "52w", "usual")
USUAL_WEEKS = 4
MOST = 100_000
"""The largest number that `top` and `mean` take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What to derive from the values of series.

    *per*: sum them to periods. *share*: in percent of the sum of the profile's series, or of the profile *of*.
    *within*: share, rank and top among the series with one value of this filter, instead of among all. *top*: only the
    largest series by their sum over the range, and the rest as one. *rank*: 1 is the largest. *compare*: add the value
    of another period: one of COMPARISONS, or when the range to compare with begins. `usual` is the mean of the same
    time in each of the USUAL_WEEKS weeks before. *growth*: the change against it in percent. *cumulative*: the sum
    since the start of the range. *mean*: the mean of the last so many periods.
    """

    per: Per | None = None
    share: bool = False
    of: str | None = None
    within: str | None = None
    top: int | None = None
    rank: bool = False
    compare: str | datetime | None = None
    growth: bool = False
    cumulative: bool = False
    mean: int | None = None

    def __bool__(self) -> bool:
        return self != Words()

    @property
    def needs_all_series(self) -> bool:
        """Whether the answer for one series depends on the others of its profile."""
        return self.share or self.rank or self.top is not None

    def check(self) -> None:
        """Raise UsageError for words that mean nothing together."""
        if self.within is not None and not self.needs_all_series:
            raise UsageError("within: needs share, of, rank or top")


def make_words(values: Mapping[str, Any], now: datetime) -> Words:
    """Return Words from *values* by name: texts, or values of the right type; None for a word that is absent.

    `of` implies `share`, and `growth` alone compares with the previous period. Raises UsageError for an invalid value.
    """
    fields = {name: value for name, value in values.items() if value is not None}
    unknown = [name for name in fields if name not in Words.__dataclass_fields__]
    if unknown:
        known = Words.__dataclass_fields__
        raise UsageError(f"unknown word {unknown[0]!r}{did_you_mean(unknown[0], known)}; known: {', '.join(known)}")
    fields |= {name: _flag(name, fields[name]) for name in ("share", "rank", "growth", "cumulative") if name in fields}
    fields |= {name: _number(name, fields[name]) for name in ("top", "mean") if name in fields}
    if "per" in fields:
        fields["per"] = _per(fields["per"])
    if "of" in fields:
        fields["share"] = True
    if fields.get("growth") and "compare" not in fields:
        fields["compare"] = "previous"
    if "compare" in fields:
        fields["compare"] = comparison(fields["compare"], now)
    return Words(**fields)


def _per(value: Any) -> Per:
    try:
        return Per(value)
    except ValueError:
        allowed = ", ".join(Per)
        raise UsageError(f"per: {value!r} is not one of {allowed}{did_you_mean(str(value), Per)}") from None


def comparison(value: Any, now: datetime) -> str | datetime:
    """Return *value* as what to compare with. Raises UsageError unless it is one of COMPARISONS or a time."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise UsageError(f"compare: {value} names no time zone")
        return value
    text = str(value)
    if text in COMPARISONS:
        return text
    moment = None
    with suppress(ValueError):
        moment = parse_moment(text)  # an age such as 3w would read like "three weeks earlier"
    if moment is not None:
        try:
            return check_date(moment, now)
        except ValueError as error:
            raise UsageError(f"compare: {error}") from None
    forms = "a date such as 2025-01-31, or an RFC 3339 time"
    raise UsageError(
        f"compare: {text!r} is not one of {', '.join(COMPARISONS)}, or {forms}{did_you_mean(text, COMPARISONS)}"
    )


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in {"true", "false"}:
        raise UsageError(f"{name}: {value!r} is not one of true, false")
    return bool(value == "true")


def _number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not (isinstance(value, int) or (str(value).isascii() and str(value).isdigit())):
        raise UsageError(f"{name}: {value!r} is not a whole number from 1 to {MOST}")
    number = int(str(value)[:10])
    if not 1 <= number <= MOST:
        raise UsageError(f"{name}: {value!r} is not a whole number from 1 to {MOST}")
    return number

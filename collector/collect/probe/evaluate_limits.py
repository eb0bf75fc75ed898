"""Findings about how much may be asked: series, spans, URL, and how far back."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from collector.collect.probe.finding import NOT_ASKED, Finding
from collector.collect.probe.observations import OLDEST_AGE, shortfall
from collector.interval import AggInterval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.collect.probe.exchange import Exchange
    from collector.collect.probe.observations import Seen, SizeSearch, Span

_SECTION = "Limits"
_HISTORY = "History"
_TOO_LONG = (HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
_SINGULARS = {"hours": "hour", "days": "day", "weeks": "week", "series": "series"}


def findings_of_limits(seen: Seen, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """Yield how large a question may be, and what it was refused with."""
    if seen.base is None:
        return
    yield _series(seen)
    if seen.shorter_and_more:
        yield _product(seen.shorter_and_more)
    for agg_interval in AggInterval:
        if agg_interval in seen.spans:
            yield _span(agg_interval, seen.spans[agg_interval], seen)
    yield _url(seen, exchanges)
    yield _oldest(seen)


def limit(search: SizeSearch, unit: str) -> str:
    """Write a limit in *unit*: exact, as a minimum, or as what it lies between."""
    words = f"1 {_SINGULARS[unit]}" if search.accepted == 1 else f"{search.accepted} {unit}"
    if search.refused is None:
        return f"{words} or more"
    if search.refused - search.accepted > 1:
        return f"from {search.accepted} to {search.refused - 1} {unit}"
    return words


def _series(seen: Seen) -> Finding:
    search = seen.positions
    answer = limit(search, "series")
    if search.refused is not None:
        answer += f"; {search.refused} are refused: {seen.positions_refusal}"
    meaning = "one request for each series" if search.refused == 2 else "so many series share a request"  # noqa: PLR2004
    value = {"accepted": search.accepted, "refused": search.refused}
    tried = search.refused is not None or search.accepted > 1
    if not tried:
        return Finding(_SECTION, "series_per_request", "series per request", NOT_ASKED, settled=False, value=value)
    return Finding(_SECTION, "series_per_request", "series per request", answer, meaning, settled=True, value=value)


def _product(exchange: Exchange) -> Finding:
    count, duration = len(exchange.request.batch.slices), exchange.request.batch.duration
    short = shortfall(exchange, None)
    hours = f"{count} series of {duration / timedelta(hours=1):g} hours"
    if short is None:
        answer, meaning = f"{hours} are accepted", "the number of values is limited, not that of series"
    else:
        answer, meaning = f"{hours} are refused: {short}", "the number of series is limited, not that of values"
    value = {"is_product": short is None}
    return Finding(_SECTION, "product", "series or values limited", answer, meaning, value=value)


def _span(agg_interval: AggInterval, span: Span, seen: Seen) -> Finding:
    name, question = f"span_{agg_interval}", f"longest span at {agg_interval}"
    unit, search = span.unit_words, span.search
    answer = limit(search, unit)
    if search.refused is not None:
        answer += f"; {search.refused} {unit} are refused: {span.refusal}"
    meaning = "how long a window of one request may be"
    if search.next is not None and seen.ages.meets_refusals:
        meaning = "longer ones were not asked, because they may reach into days that are refused for their age"
    value = {
        "accepted_seconds": span.accepted.total_seconds(),
        "refused_seconds": (span.unit * search.refused).total_seconds() if search.refused is not None else None,
    }
    return Finding(_SECTION, name, question, answer, meaning, settled=True, value=value)


def _url(seen: Seen, exchanges: Sequence[Exchange]) -> Finding:
    asked = [exchange for exchange in exchanges if exchange.request.is_read]
    accepted = max((len(one.request.query) for one in asked if one.is_data), default=0)
    long = [one for one in asked if one.status in _TOO_LONG or (one is seen.long_url and not one.is_data)]
    shortest = min(long, key=lambda one: len(one.request.query), default=None)
    answer = f"{accepted:,} bytes of query are accepted"
    if shortest:
        answer += f"; {len(shortest.request.query):,} are refused: {shortest.error}"
    value = {"accepted_bytes": accepted, "refused_bytes": len(shortest.request.query) if shortest else None}
    return Finding(_SECTION, "url", "length of the URL", answer, "longer ones are split", value=value)


def _oldest(seen: Seen) -> Finding:
    name, question, ages = "oldest", "oldest data", seen.ages
    oldest = seen.oldest
    if oldest is None:
        return Finding(_HISTORY, name, question, "not known", "no answer had a value", settled=False)
    with_data = min(seen.start_of(ages.with_data), oldest)
    value = {
        "with_data": f"{with_data:%Y-%m-%d}",
        "without": f"{seen.start_of(ages.without):%Y-%m-%d}" if ages.without is not None else None,
        "refused": ages.refused,
    }
    if ages.without is None:
        beyond = "or earlier" if ages.with_data < OLDEST_AGE else "as far as was asked"
        answer = f"{with_data:%Y-%m-%d} {beyond}"
        meaning = "no beginning of history was found"
        if ages.suspects:
            answer += f"; some of {len(ages.suspects)} days back to {seen.start_of(ages.suspects[-1]):%Y-%m-%d} "
            answer += f"are refused: {seen.ages_refusal}"
        return Finding(_HISTORY, name, question, answer, meaning, settled=True, value=value)
    without = seen.start_of(ages.without)
    how = f"refused: {seen.ages_refusal}" if ages.refused else "empty"
    exact = ages.without - ages.with_data <= 1
    answer = f"{with_data:%Y-%m-%d}; {without:%Y-%m-%d} is {how}"
    meaning = "history begins there" if exact else "history begins between the two"
    return Finding(_HISTORY, name, question, answer, meaning, settled=True, value=value)

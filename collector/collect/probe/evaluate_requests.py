"""Findings about requests: the connection and its clock, other paths, filters, and the limits on size and age."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from statistics import median
from typing import TYPE_CHECKING, Any

from collector.collect.probe import shape
from collector.collect.probe.evaluate_answers import minutes
from collector.collect.probe.exchange import COMMA_NAME, FILTERED
from collector.collect.probe.observations import NOT_ASKED, OLDEST_AGE, Finding, shortfall
from collector.interval import AggInterval
from collector.model import is_absolute
from collector.radar.classify import sanitize
from collector.radar.errors import Misdirected, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collector.collect.probe.exchange import Exchange
    from collector.collect.probe.observations import Seen, SizeSearch, Span

_CONNECTION = "Connection"
_PATHS = "Other paths"
_WORTH_SAYING = timedelta(minutes=1)
_SHOWN = ("age", "cf-cache-status", "cache-control", "content-encoding", "content-type", "etag", "server")
_MOST_KEYS = 8


def findings_of_connection(seen: Seen, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """Yield the findings about headers and durations."""
    replied = [exchange for exchange in exchanges if exchange.response]
    if not replied:
        return
    yield _clock(replied)
    yield _rates(replied)
    first = seen.first if seen.first and seen.first.response else replied[0]
    shown = {name: value for name, value in first.headers.items() if name.lower() in _SHOWN}
    answer = sanitize(", ".join(f"{name}: {value}" for name, value in shown.items())) or "none of note"
    yield Finding(_CONNECTION, "headers", "headers", answer, value=shown)
    yield _durations(replied)


def _clock(replied: Sequence[Exchange]) -> Finding:
    name, question = "clock", "this machine's clock"
    differences = [exchange.clock_difference for exchange in replied if exchange.clock_difference is not None]
    if not differences:
        return Finding(_CONNECTION, name, question, "not compared", "no Date header came")
    least = min(differences, key=abs)  # a slow or cached answer makes it larger
    value = {"ahead_seconds": least.total_seconds()}
    if abs(least) < _WORTH_SAYING:
        return Finding(_CONNECTION, name, question, "right within a minute", value=value)
    answer = f"{minutes(abs(least))} {'ahead of' if least > timedelta(0) else 'behind'} Radar's"
    ahead = "Radar is asked up to its own present only; set the clock"
    meaning = ahead if least > timedelta(0) else "data come later than they could: set the clock"
    return Finding(_CONNECTION, name, question, answer, meaning, value=value)


def _rates(replied: Sequence[Exchange]) -> Finding:
    responses = [exchange.response for exchange in replied if exchange.response]
    rates = next((response.rate_headers for response in responses if response.rate_headers), {})
    answer = sanitize(", ".join(f"{name}: {value}" for name, value in rates.items())) or "none"
    meaning = "hints only: the collector counts its requests itself"
    return Finding(_CONNECTION, "rate_headers", "rate-limit headers", answer, meaning, value=dict(rates))


def _durations(replied: Sequence[Exchange]) -> Finding:
    slowest = max(replied, key=lambda exchange: exchange.seconds)
    middle = median(exchange.seconds for exchange in replied)
    answer = f"{middle:.2f} s in the median, {slowest.seconds:.2f} s at most ({slowest.request.name})"
    value = {"median_seconds": round(middle, 3), "slowest_seconds": round(slowest.seconds, 3)}
    return Finding(_CONNECTION, "durations", "time of an answer", answer, value=value)


def findings_of_siblings(seen: Seen) -> Iterator[Finding]:
    """Yield the findings about the paths beside the time series, which the collector does not need."""
    for exchange in seen.siblings:
        path = exchange.request.path
        name = "_".join(path.split("/")[3:]).lower()  # behind /radar/ct/
        result = shape.result_of(exchange.document)
        if not exchange.is_data:
            answer = str(exchange.error) if exchange.error else f"HTTP {exchange.status}"
            yield Finding(_PATHS, name, path, answer, _why_not(exchange), value={"status": exchange.status})
            continue
        counted = [*map(_counted, result.items())]
        answer = sanitize(f"HTTP {exchange.status}, {len(exchange.body):,} bytes: {', '.join(counted[:_MOST_KEYS])}")
        value = {"status": exchange.status, "bytes": len(exchange.body), "keys": [*result]}
        yield Finding(_PATHS, name, path, answer, _groups(result), value=value)


def _why_not(exchange: Exchange) -> str:
    """Return the meaning of an error of another path."""
    match exchange.error:
        case Misdirected():
            return "not served at this address"
        case Unauthorized():
            return "not allowed with these credentials"
        case _:
            return "not needed today"


def _counted(item: tuple[str, Any]) -> str:
    key, content = item
    return f"{key} ({shape.kind_of(content)})"


def _groups(result: Mapping[str, Any]) -> str:
    """Return the number of groups or entries, and their names."""
    for key, content in result.items():
        if key == "meta":
            continue
        if isinstance(content, dict):
            names = [name for name in content if name != "timestamps"]
            return sanitize(f"{len(names)} groups: {', '.join(names[:_MOST_KEYS])}")
        if isinstance(content, list):
            keys = [*content[0]] if content and isinstance(content[0], dict) else []
            return sanitize(f"{len(content)} entries with {', '.join(keys)}")
    return "no groups"


_FILTERS = "Filters"
_ALIKE = 0.9
"""The part of equal values from which two series count as the same.

It is below 1, because young values may be revised between two requests."""
_EMPTY = "empty filter positions"
_TWO = 2
"""The request has a filtered and an unfiltered series. If two series are rejected, a request may have only one."""


def findings_of_filters(seen: Seen) -> Iterator[Finding]:
    """Yield the findings about the answers to filtered series."""
    base = seen.base
    if base is None:
        return
    first = seen.by_interval[base]
    if seen.empties:
        yield _empty_positions(seen, first, seen.empties)
    if seen.comma_twice:
        yield _comma(first, seen.comma_twice, seen.comma_once)


def alike(points: Mapping[int, float], other: Mapping[int, float]) -> bool:
    """Return whether two series are equal except for a few revised values."""
    common = points.keys() & other.keys()
    return bool(common) and sum(points[moment] == other[moment] for moment in common) >= _ALIKE * len(common)


def _empty_positions(seen: Seen, first: Exchange, exchange: Exchange) -> Finding:
    name = "empty_positions"
    if not exchange.is_data or len(shape.series_of(exchange.document)) < _TWO:
        why = str(exchange.error) if exchange.error else "only one series came"
        if seen.positions.refused == _TWO:
            return Finding(_FILTERS, name, _EMPTY, "not known", "one series a request leaves no position empty")
        meaning = "series with and without a filter are asked in separate requests"
        return Finding(_FILTERS, name, _EMPTY, f"refused: {why}", meaning, settled=True, value=False)
    if not is_absolute(str(shape.meta_of(exchange.document).get("normalization", ""))):
        return Finding(_FILTERS, name, _EMPTY, "accepted", "values that are not absolute are not compared", value=True)
    if not first.points:
        return Finding(_FILTERS, name, _EMPTY, "accepted", "there are no values to compare", value=True)
    trouble = _misplaced(first.points, exchange.points_of(0), exchange.points_of(1))
    if trouble:
        return Finding(_FILTERS, name, _EMPTY, f"accepted, but {trouble[0]}", trouble[1], settled=False)
    (filter_,) = FILTERED
    meaning = f"series with and without {filter_} share a request"
    return Finding(_FILTERS, name, _EMPTY, "accepted, each series in its place", meaning, settled=True, value=True)


def _misplaced(
    whole: Mapping[int, float], plain: Mapping[int, float], filtered: Mapping[int, float]
) -> tuple[str, str] | None:
    """Return the problem of an answer with a *plain* and a *filtered* series, and its meaning.

    Returns None if the plain series equals the *whole* one, and the filtered series differs from it.
    """
    if alike(plain, filtered):
        return "both series are the same", "the filter has no effect, so its values would be wrong"
    if alike(plain, whole):
        return None
    if alike(filtered, whole):
        return "the filter moved to the first series", "values would get another owner: do not collect yet"
    return "neither series is the unfiltered one", "whose values came is not known: do not collect yet"


def _comma(first: Exchange, twice: Exchange, once: Exchange | None) -> Finding:
    name, question = "comma_encoding", f"{COMMA_NAME} as a filter"
    double, single, whole = twice.points, once.points if once else {}, first.points
    has_double, has_single = _has_values(double, whole), _has_values(single, whole)
    encodings = {"twice": _words(twice), "once": _words(once) if once else "not asked"}
    answer = ", ".join(f"encoded {number}: {words}" for number, words in encodings.items())
    if has_double and has_single:
        meaning, settled = ("both are read alike" if alike(double, single) else "they are two questions"), True
    elif has_double:
        meaning, settled = "a comma has to be encoded twice, as the collector does", True
    elif has_single:
        meaning, settled = "only the single encoding finds the name: the collector sends the other one", False
    elif twice.is_data:
        meaning, settled = "no values either way: the name is spelt otherwise, or the filter is not applied", None
    else:
        meaning, settled = "names with a comma are refused", None
    return Finding(_FILTERS, name, question, answer, meaning, settled=settled, value=encodings)


def _has_values(points: Mapping[int, float], whole: Mapping[int, float]) -> bool:
    """Return whether a filtered series has other values than the *whole*, unfiltered one."""
    return any(points.values()) and not alike(points, whole)


def _words(exchange: Exchange) -> str:
    if not exchange.is_data:
        return f"refused ({exchange.error})" if exchange.error else "refused"
    return f"{sum(map(bool, exchange.points.values()))} values that are not zero"


_LIMITS = "Limits"
_HISTORY = "History"
_TOO_LONG = (HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
_SINGULARS = {"hours": "hour", "days": "day", "weeks": "week", "series": "series"}


def findings_of_limits(seen: Seen, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """Yield the findings about the limits of a request, with the error of a rejected one."""
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
    """Return the limit in *unit*: an exact number, a minimum, or a range."""
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
        return Finding(_LIMITS, "series_per_request", "series per request", NOT_ASKED, settled=False, value=value)
    return Finding(_LIMITS, "series_per_request", "series per request", answer, meaning, settled=True, value=value)


def _product(exchange: Exchange) -> Finding:
    count, duration = len(exchange.request.batch.slices), exchange.request.batch.duration
    short = shortfall(exchange, None)
    hours = f"{count} series of {duration / timedelta(hours=1):g} hours"
    if short is None:
        answer, meaning = f"{hours} are accepted", "the number of values is limited, not that of series"
    else:
        answer, meaning = f"{hours} are refused: {short}", "the number of series is limited, not that of values"
    value = {"is_product": short is None}
    return Finding(_LIMITS, "product", "series or values limited", answer, meaning, value=value)


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
    return Finding(_LIMITS, name, question, answer, meaning, settled=True, value=value)


def _url(seen: Seen, exchanges: Sequence[Exchange]) -> Finding:
    series_exchanges = [exchange for exchange in exchanges if exchange.request.is_read]
    accepted = max((len(exchange.request.query) for exchange in series_exchanges if exchange.is_data), default=0)
    long = [
        exchange
        for exchange in series_exchanges
        if exchange.status in _TOO_LONG or (exchange is seen.long_url and not exchange.is_data)
    ]
    shortest = min(long, key=lambda exchange: len(exchange.request.query), default=None)
    answer = f"{accepted:,} bytes of query are accepted"
    if shortest:
        answer += f"; {len(shortest.request.query):,} are refused: {shortest.error}"
    value = {"accepted_bytes": accepted, "refused_bytes": len(shortest.request.query) if shortest else None}
    return Finding(_LIMITS, "url", "length of the URL", answer, "longer ones are split", value=value)


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

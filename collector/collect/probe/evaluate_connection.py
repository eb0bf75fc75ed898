"""Findings about the connection: clock, headers, time; and about the paths beside the time series."""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from collector.collect.probe import shape
from collector.collect.probe.evaluate_answers import minutes
from collector.collect.probe.finding import Finding
from collector.radar.classify import sanitize
from collector.radar.errors import Misdirected, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collector.collect.probe.exchange import Exchange
    from collector.collect.probe.observations import Seen

_SECTION = "Connection"
_PATHS = "Other paths"
_WORTH_SAYING = timedelta(minutes=1)
_SHOWN = ("age", "cf-cache-status", "cache-control", "content-encoding", "content-type", "etag", "server")
_MOST_KEYS = 8


def findings_of_connection(seen: Seen, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """Yield what headers and durations show."""
    replied = [exchange for exchange in exchanges if exchange.response]
    if not replied:
        return
    yield _clock(replied)
    yield _rates(replied)
    first = seen.first if seen.first and seen.first.response else replied[0]
    shown = {name: value for name, value in first.headers.items() if name.lower() in _SHOWN}
    answer = sanitize(", ".join(f"{name}: {value}" for name, value in shown.items())) or "none of note"
    yield Finding(_SECTION, "headers", "headers", answer, value=shown)
    yield _durations(replied)


def _clock(replied: Sequence[Exchange]) -> Finding:
    name, question = "clock", "this machine's clock"
    differences = [one.clock_difference for one in replied if one.clock_difference is not None]
    if not differences:
        return Finding(_SECTION, name, question, "not compared", "no Date header came")
    least = min(differences, key=abs)  # a slow or cached answer makes it larger
    value = {"ahead_seconds": least.total_seconds()}
    if abs(least) < _WORTH_SAYING:
        return Finding(_SECTION, name, question, "right within a minute", value=value)
    answer = f"{minutes(abs(least))} {'ahead of' if least > timedelta(0) else 'behind'} Radar's"
    ahead = "Radar is asked up to its own present only; set the clock"
    meaning = ahead if least > timedelta(0) else "data come later than they could: set the clock"
    return Finding(_SECTION, name, question, answer, meaning, value=value)


def _rates(replied: Sequence[Exchange]) -> Finding:
    rates = next((one.response.rate_headers for one in replied if one.response and one.response.rate_headers), {})
    answer = sanitize(", ".join(f"{name}: {value}" for name, value in rates.items())) or "none"
    meaning = "hints only: the collector counts its requests itself"
    return Finding(_SECTION, "rate_headers", "rate-limit headers", answer, meaning, value=dict(rates))


def _durations(replied: Sequence[Exchange]) -> Finding:
    slowest = max(replied, key=lambda one: one.seconds)
    middle = median(one.seconds for one in replied)
    answer = f"{middle:.2f} s in the median, {slowest.seconds:.2f} s at most ({slowest.request.name})"
    value = {"median_seconds": round(middle, 3), "slowest_seconds": round(slowest.seconds, 3)}
    return Finding(_SECTION, "durations", "time of an answer", answer, value=value)


def findings_of_siblings(seen: Seen) -> Iterator[Finding]:
    """Yield what the paths beside the time series answer; the collector does not need them."""
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
    """Say what an error of another path means."""
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
    """How many groups or entries there are, and what they are called."""
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

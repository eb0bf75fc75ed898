"""`/metrics`: counters since the start, and gauges of the state at the time of the request.

Every server has its own registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from collector import __version__
from collector.interval import AggInterval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from prometheus_client import Metric

    from collector.serve.service import ServiceApi, StatusCache
    from collector.store import Fire, NewestValues, SaveResult

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CHANGES = ("inserted", "revised", "unchanged", "ignored")
_FIRES = ("collected", "failed", "coalesced")
_OUTCOMES = ("ok", "unavailable", "rate_limited", "refused", "too_costly", "misdirected", "untrusted", "relative",
             "unauthorized", "forbidden", "not_found")  # fmt: skip
MAX_VALUES = 1000
"""The series of which `[server] metrics_values` offers values: each is two time series in Prometheus."""
_SERIES_LABELS = ("profile", "series", "agg_interval", "unit")


class Metrics:
    """Counters of what is collected, as an observer of it; writes all metrics in Prometheus' text format."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "collector_requests", "Requests to Radar that ended.", ["outcome"], registry=self._registry
        )
        self._seconds = Histogram(
            "collector_request_seconds",
            "Seconds until a request to Radar ended.",
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._points = Counter(
            "collector_points", "Points of answers, by their effect on the store.", ["profile", "change"],
            registry=self._registry,
        )  # fmt: skip
        self._fires = Counter(
            "collector_fires", "Due moments that ended.", ["profile", "outcome"], registry=self._registry
        )
        build = Gauge(
            "collector_build_info", "1, with the running version as label.", ["version"], registry=self._registry
        )
        build.labels(__version__).set(1)
        self._gauges = _Gauges()
        self._registry.register(self._gauges)

    def asked(self, outcome: str, seconds: float) -> None:
        """A request has ended."""
        self._requests.labels(outcome).inc()
        self._seconds.observe(seconds)

    def saved(self, profile: str, saved: SaveResult) -> None:
        """An answer was saved; *saved* counts the points of *profile*."""
        for change in _CHANGES:
            self._points.labels(profile, change).inc(saved.counts.get(change, 0))

    def fired(self, fires: Sequence[Fire]) -> None:
        """Due moments have their outcome."""
        for fire in fires:
            self._fires.labels(fire.profile, fire.outcome).inc()

    def text(
        self,
        status: Mapping[str, Any],
        levels: Mapping[str, int | None],
        now: datetime,
        newest: NewestValues | None = None,
    ) -> bytes:
        """Return all metrics: the counters, and gauges from the *status* document and the confidence *levels*.

        *newest* has the values of series, None for metrics without them.
        """
        values = _values(newest) if newest is not None else ()
        self._gauges.families = (*_families(status, levels, now), *values)
        self._start_at_zero([row["name"] for row in status["profiles"]])
        return generate_latest(_WithoutCreation(self._registry))

    def _start_at_zero(self, profiles: Iterable[str]) -> None:
        """Create all counters, because Prometheus does not see the first step of a counter that starts at one."""
        for outcome in _OUTCOMES:
            self._requests.labels(outcome)
        for profile in profiles:
            for change in _CHANGES:
                self._points.labels(profile, change)
            for outcome in _FIRES:
                self._fires.labels(profile, outcome)


class _WithoutCreation(CollectorRegistry):
    """A registry without the times at which its counters were created, because Prometheus does not use them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._registry_with_creation = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry_with_creation.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class _Gauges(Collector):
    """The gauges of the newest status document."""

    def __init__(self) -> None:
        self.families: tuple[Metric, ...] = ()

    def collect(self) -> Iterator[Metric]:
        yield from self.families


def _families(status: Mapping[str, Any], levels: Mapping[str, int | None], now: datetime) -> Iterator[Metric]:
    rows = status["profiles"]
    running = [row for row in rows if row["state"] != "paused"]  # because a paused profile must raise no alert
    successes = {row["name"]: row["last_success"].timestamp() for row in running if row["last_success"]}
    yield _by_profile("last_success_timestamp_seconds", "When the newest answer was received.", successes)
    widths = {row["name"]: AggInterval(row["agg_interval"]).seconds for row in running}
    yield _by_profile("interval_seconds", "Width of a bucket in seconds.", widths)
    lags = {row["name"]: row["lag_seconds"] for row in rows}
    yield _by_profile(
        "lag_seconds",
        "Seconds from the newest stored bucket to the newest one that should be stored.",
        lags,
    )
    yield _by_profile(
        "gap_buckets",
        "Expected buckets that are not stored and that Radar may still have.",
        {row["name"]: row["gaps"] for row in rows},
    )
    upstream_gaps = {row["name"]: row["upstream_gaps"] for row in rows}
    yield _by_profile(
        "upstream_gap_buckets", "Expected buckets that Radar does not have, as two answers show.", upstream_gaps
    )
    unconfirmed = {row["name"]: row["unconfirmed"] for row in rows}
    yield _by_profile("unconfirmed_buckets", "Final buckets that only one answer confirms.", unconfirmed)
    yield _proof(rows)
    yield from _states(rows)
    yield _by_profile(
        "confidence_level", "Cloudflare's confidence in the newest answer, from 1 to 5, the best.", levels
    )
    budget, store = status["budget"], status["store"]
    left = max(0, budget["limit"] - budget["used"])
    yield _single("request_budget_remaining", "Requests that may still be sent in the current five minutes.", left)
    until = budget["blocked_until"]
    blocked = max(0.0, (until - now).total_seconds()) if until else 0.0
    yield _single(
        "upstream_blocked_seconds",
        "Seconds until the next request may be sent, while Radar answers 429 or nothing, or rejects the credentials.",
        blocked,
    )
    difference = next((row["clock_difference_seconds"] for row in rows), None) or 0  # it is the same for all profiles
    text = "Seconds that our clock is ahead of Radar's, negative if it is behind; 0 if less than a minute."
    yield _single("clock_difference_seconds", text, difference)
    yield _single("store_points", "Points in the store.", store["points"])
    yield _single("store_bytes", "Size of the store in bytes.", store["bytes"])


def _states(rows: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield the states that alerts use: 1 if a profile is in the state, else 0."""
    stale = {row["name"]: float(row["state"] == "stale") for row in rows}
    yield _by_profile("stale", "1 if the newest answer shows that Radar publishes nothing new, else 0.", stale)
    failing = {row["name"]: float(row["state"] == "failing") for row in rows}
    yield _by_profile("failing", "1 if the newest requests of the profile failed, else 0.", failing)
    healthy = {row["name"]: float(row["healthy"]) for row in rows}
    yield _by_profile("healthy", "1 if the state of the profile counts as ready, else 0.", healthy)


def _proof(rows: Iterable[Mapping[str, Any]]) -> Metric:
    text = "Buckets of a profile with a dimension, by how the sum of its groups compares with the total."
    family = GaugeMetricFamily("collector_proof_buckets", text, labels=["profile", "state"])
    for row in rows:
        for state, number in (row["proof"] or {}).items():
            family.add_metric([row["name"], state], number)
    return family


def _values(newest: NewestValues) -> Iterator[Metric]:
    """Yield the newest value of each series, its time, and how many series are left out."""
    value = "The value of the newest closed bucket of a series that is kept as history."
    time = "When the newest closed bucket of the series starts."
    for name, text, column in (("value", value, "value"), ("timestamp_seconds", time, "timestamp")):
        family = GaugeMetricFamily(f"collector_series_{name}", text, labels=_SERIES_LABELS)
        for row in newest.values:
            family.add_metric([getattr(row, label) for label in _SERIES_LABELS], getattr(row, column))
        yield family
    text = f"Series without a value here, because there are more than {MAX_VALUES}."
    yield _single("series_left_out", text, newest.left_out)


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"collector_{name}", text, value=value)


def _by_profile(name: str, text: str, values: Mapping[str, float | None]) -> Metric:
    family = GaugeMetricFamily(f"collector_{name}", text, labels=["profile"])
    for profile, value in values.items():
        if value is not None:
            family.add_metric([profile], value)
    return family


def add_routes(app: web.Application, service: ServiceApi, status_cache: StatusCache, *, values: bool = False) -> None:
    """Add `/metrics` to *app*, with the *values* of series if they are wanted.

    If the store cannot be read, the scrape fails, which an alert notices first.
    """

    async def scrape(_request: web.Request) -> web.Response:
        document, levels = await status_cache.document(), {}
        for profile in service.profiles:
            newest = await service.store.newest_answer(profile.name)
            levels[profile.name] = newest.confidence_level if newest else None
        text = service.metrics.text(document, levels, service.now(), await _newest_values(service) if values else None)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/metrics", scrape)


async def _newest_values(service: ServiceApi) -> NewestValues:
    """Read the values of all profiles but the paused ones, which must raise no alert about their age."""
    names = [profile.name for profile in service.profiles if profile.enabled]
    return await service.store.newest_values(names, service.now(), MAX_VALUES)

"""The result of a probe as one value, and as the fields of JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from collector import __version__
from collector.collect.probe import shape
from collector.collect.probe.ask import MOST_REQUESTS, to_json
from collector.collect.probe.evaluate import evaluate
from collector.radar.errors import RadarError, Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.collect.probe.ask import Exchange
    from collector.collect.probe.finding import Finding
    from collector.collect.probe.seen import Seen


@dataclass(frozen=True, slots=True)
class DeviationSeen:
    """What answers have otherwise than the contract says: *read* by the collector, or a reason to *refuse*."""

    text: str
    verdict: str
    answers: int
    first_request: int


@dataclass(frozen=True)
class ProbeReport:
    """All that a probe found out; *ended* says why it ended early, *skipped* names what the cap left no request for."""

    started_at: datetime
    finished_at: datetime
    seen: Seen
    exchanges: Sequence[Exchange]
    skipped: Sequence[str]

    @property
    def findings(self) -> list[Finding]:
        """The findings, in the order in which a person reads them."""
        return evaluate(self.seen, self.exchanges)

    @property
    def unsettled(self) -> list[str]:
        """What the collector needs and what the probe could not settle, a sentence each; empty: exit code 0."""
        ended = [f"the probe ended early: {self.seen.ended}"] if self.seen.ended else []
        open_ = [finding for finding in self.findings if finding.settled is False]
        return ended + [f"{finding.question}: {finding.answer}; {finding.meaning}" for finding in open_]

    @property
    def deviations(self) -> list[DeviationSeen]:
        """Each kind of deviation once, in the order in which they were met."""
        found: dict[tuple[str, str], list[int]] = {}
        for exchange in self.exchanges:
            for key in dict.fromkeys(_deviations(exchange)):
                found.setdefault(key, []).append(exchange.number)
        return [DeviationSeen(text, verdict, len(at), at[0]) for (text, verdict), at in found.items()]

    @property
    def meta(self) -> Mapping[str, Any]:
        """The `meta` of the first answer that has one, as it came."""
        return next((meta for one in self.exchanges if (meta := shape.meta_of(one.document))), {})

    @property
    def shape(self) -> Mapping[str, str]:
        """The form of the first answer with data, else of the first JSON at all."""
        documents = [one.document for one in self.exchanges if one.document is not None]
        best = next((one for one in documents if shape.series_of(one)), documents[0] if documents else None)
        return shape.describe(best) if best is not None else {}

    def to_json(self, base_url: str) -> dict[str, Any]:
        """Return the fields of `collector probe --format json`."""
        return {
            "version": __version__,
            "base_url": base_url,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "settled": not self.unsettled,
            "unsettled": self.unsettled,
            "ended": self.seen.ended,
            "findings": [asdict(finding) for finding in self.findings],
            "deviations": [asdict(deviation) for deviation in self.deviations],
            "meta": self.meta,
            "shape": self.shape,
            "requests_used": len(self.exchanges),
            "requests_allowed": MOST_REQUESTS,
            "skipped": list(self.skipped),
            "requests": [to_json(exchange) for exchange in self.exchanges],
        }


def _deviations(exchange: Exchange) -> Iterator[tuple[str, str]]:
    if not exchange.request.is_read:
        return
    if exchange.answer:
        yield from ((kind, "read") for kind in exchange.answer.deviations)
    elif exchange.status and 200 <= exchange.status < 300 and isinstance(exchange.error, RadarError):  # noqa: PLR2004 - HTTP's class
        refused = "refused" if isinstance(exchange.error, Untrusted) else "no answer"
        yield str(exchange.error), refused
    if exchange.is_data:
        verdict = "read" if exchange.answer else "refused"
        content_type = exchange.headers.get("Content-Type", "")
        yield from ((kind, verdict) for kind in shape.unusual(exchange.document, content_type))


def outcomes(exchanges: Sequence[Exchange]) -> Mapping[str, int]:
    """How many requests ended with each outcome."""
    return Counter(exchange.outcome for exchange in exchanges)

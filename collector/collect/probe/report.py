"""The result of a probe, as one value and as JSON fields."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from collector import __version__
from collector.collect.probe import shape
from collector.collect.probe.evaluate_answers import findings_of_answers
from collector.collect.probe.evaluate_requests import (
    findings_of_connection,
    findings_of_filters,
    findings_of_limits,
    findings_of_siblings,
)
from collector.collect.probe.exchange import MOST_REQUESTS, to_json
from collector.collect.probe.shape import unusual
from collector.radar.errors import ANSWERED, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.collect.probe.exchange import Exchange
    from collector.collect.probe.observations import Finding, Seen


@dataclass(frozen=True, slots=True)
class DeviationSeen:
    """A deviation or a refusal that several answers share.

    *verdict* is `read`, `refused`, `no answer`, or the outcome on record.
    """

    text: str
    verdict: str
    answers: int
    first_request: int


@dataclass(frozen=True)
class ProbeReport:
    """The result of a probe. *skipped* are the names of requests that the cap left out.

    *others* counts the requests that the collector sent for the probe, to learn where buckets start.
    """

    started_at: datetime
    finished_at: datetime
    seen: Seen
    exchanges: Sequence[Exchange]
    skipped: Sequence[str]
    others: int = 0

    @property
    def findings(self) -> list[Finding]:
        """The findings, in the order in which a person reads them."""
        return evaluate(self.seen, self.exchanges)

    @property
    def unsettled(self) -> list[str]:
        """One sentence for each open question that matters to the collector. If empty, the exit code is 0."""
        ended = [f"the probe ended early: {self.seen.ended}"] if self.seen.ended else []
        open_ = [
            finding for finding in self.findings if finding.settled is False and not (ended and finding.is_unasked)
        ]
        return ended + [f"{finding.question}: {finding.answer}; {finding.meaning}" for finding in open_]

    @property
    def deviations(self) -> list[DeviationSeen]:
        """Each kind of deviation once, in the order of its first answer."""
        return _grouped(self.exchanges, _deviations)

    @property
    def refusals(self) -> list[DeviationSeen]:
        """Each kind of refusal once: the reasons of requests that got no answer with data."""
        return _grouped(self.exchanges, _refusals)

    @property
    def meta(self) -> Mapping[str, Any]:
        """The unchanged `meta` of the first answer that has one."""
        return next((meta for exchange in self.exchanges if (meta := shape.meta_of(exchange.document))), {})

    @property
    def shape(self) -> Mapping[str, str]:
        """The form of the first answer with data, or without one, of the first JSON document."""
        documents = [exchange.document for exchange in self.exchanges if exchange.document is not None]
        best = next(
            (document for document in documents if shape.series_of(document)), documents[0] if documents else None
        )
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
            "refusals": [asdict(refusal) for refusal in self.refusals],
            "meta": self.meta,
            "shape": self.shape,
            "requests_used": len(self.exchanges) + self.others,
            "requests_allowed": MOST_REQUESTS,
            "skipped": list(self.skipped),
            "requests": [to_json(exchange) for exchange in self.exchanges],
        }


def _grouped(
    exchanges: Sequence[Exchange], noted: Callable[[Exchange], Iterator[tuple[str, str, str]]]
) -> list[DeviationSeen]:
    """Count what *noted* yields for each exchange, as (kind, verdict, text). The first text of a kind is kept."""
    groups: dict[tuple[str, str], DeviationSeen] = {}
    for exchange in exchanges:
        for kind, verdict, text in dict.fromkeys(noted(exchange)):
            known = groups.get((kind, verdict), DeviationSeen(text, verdict, 0, exchange.number))
            groups[kind, verdict] = replace(known, answers=known.answers + 1)
    return list(groups.values())


def _deviations(exchange: Exchange) -> Iterator[tuple[str, str, str]]:
    error = exchange.error
    if not exchange.request.is_read or exchange.status not in ANSWERED:
        return
    if error:
        yield error.kind, "refused" if isinstance(error, Untrusted) else "no answer", str(error)
    kinds = exchange.answer.deviations if exchange.answer else ()
    forms = unusual(exchange.document, exchange.headers.get("Content-Type", "")) if exchange.is_data else ()
    verdict = "read" if exchange.answer else "refused"
    yield from ((kind, verdict, kind) for kind in (*kinds, *forms))


def _refusals(exchange: Exchange) -> Iterator[tuple[str, str, str]]:
    error = exchange.error
    if error and exchange.request.is_read and exchange.status not in ANSWERED:
        yield str(error), exchange.outcome, str(error)  # not the kind, which is the same for one code


def evaluate(seen: Seen, exchanges: Sequence[Exchange]) -> list[Finding]:
    """Return the findings, in the order in which a person reads them."""
    return [
        *findings_of_answers(seen),
        *findings_of_filters(seen),
        *findings_of_limits(seen, exchanges),
        *findings_of_connection(seen, exchanges),
        *findings_of_siblings(seen),
    ]

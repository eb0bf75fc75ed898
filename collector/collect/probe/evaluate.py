"""From exchanges to findings. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.collect.probe.evaluate_answers import findings_of_answers
from collector.collect.probe.evaluate_connection import findings_of_connection, findings_of_siblings
from collector.collect.probe.evaluate_filters import findings_of_filters
from collector.collect.probe.evaluate_limits import findings_of_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.collect.probe.exchange import Exchange
    from collector.collect.probe.finding import Finding
    from collector.collect.probe.seen import Seen


def evaluate(seen: Seen, exchanges: Sequence[Exchange]) -> list[Finding]:
    """Return the findings, in the order in which a person reads them."""
    return [
        *findings_of_answers(seen),
        *findings_of_filters(seen),
        *findings_of_limits(seen, exchanges),
        *findings_of_connection(seen, exchanges),
        *findings_of_siblings(seen),
    ]

"""What Cloudflare does not publish, asked of the API itself, so that one run shows all that a developer needs.

`questions`  what can be asked           `ask`        one request: sent, on record, kept as an `Exchange`
`shape`      the form of a document      `searches`   which size or date to try next (pure)
`prober`     the plan, in order of importance, at most 30 requests
`evaluation` from exchanges to findings (pure)        `report`     the whole as one value

The limits found are remembered; no point and no series is stored, because no profile asked for them.
"""

from collector.collect.probe.ask import MOST_REQUESTS, Exchange
from collector.collect.probe.finding import Finding
from collector.collect.probe.prober import Prober
from collector.collect.probe.report import ProbeReport

__all__ = ["MOST_REQUESTS", "Exchange", "Finding", "ProbeReport", "Prober"]

"""What Cloudflare does not publish, asked of the API itself, so that one run shows all that a developer needs.

`questions`      what can be asked                  `ask`        sends one request, inside the budget and on record
`exchange`       a request and what came            `seen`       what each request was for, and the searches
`first_answers`  each interval, clock and grids     `searches`   which size or date to try next (pure)
`prober`         the plan, the important first      `evaluate`   from exchanges to findings (pure)
`shape` `forms`  the form of a document (pure)      `report`     all of it as one value

Limits, grids and the difference of the clocks are remembered; no point and no series is stored, because no profile
asked for them.
"""

from collector.collect.probe.exchange import MOST_REQUESTS, Exchange
from collector.collect.probe.finding import Finding
from collector.collect.probe.prober import Prober
from collector.collect.probe.report import ProbeReport

__all__ = ["MOST_REQUESTS", "Exchange", "Finding", "ProbeReport", "Prober"]

"""Measures what Cloudflare does not publish, by requests to the API itself.

`prober`         the plan: the important requests first     `exchange`           one request and its response
`observations`   what was seen, and the searches (pure)     `evaluate_answers`   findings about values and buckets
`shape`          the form of a JSON document (pure)         `evaluate_requests`  findings about connection and limits
`report`         all findings as one value

The probe records limits, grids and the clock difference. It stores no points and no series, because no profile
configures them.
"""

from collector.collect.probe.exchange import MOST_REQUESTS, Exchange
from collector.collect.probe.observations import Finding
from collector.collect.probe.prober import Prober
from collector.collect.probe.report import ProbeReport

__all__ = ["MOST_REQUESTS", "Exchange", "Finding", "ProbeReport", "Prober"]

"""The API's own contract, answered from history.

parse (parameters)  →  choose series (resolver)  →  read points (answer), add up (rollup)  →  write (render)

A request by a dimension goes the same way for the sums of its groups. Then they are divided (groups, grouping).
"""

from collector.serve.radar_api.answer import query_history
from collector.serve.radar_api.groups import query_groups
from collector.serve.radar_api.routes import RadarApi

__all__ = ["RadarApi", "query_groups", "query_history"]

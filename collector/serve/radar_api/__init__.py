"""The API's own contract, answered from history.

read (question)  →  choose series (matching)  →  read points, add up (rollup)  →  write as the API does (wording)
"""

from collector.serve.radar_api.answer import query_history
from collector.serve.radar_api.routes import RadarApi

__all__ = ["RadarApi", "query_history"]

"""Variations of an answer that is true but odd: every form in which the real API may turn out to say the same.

No value changes: what the counts are stays the simulator's truth, only how the answer says them is odd.
"""

from collector.simulator.odd.listing import listing
from collector.simulator.odd.table import VARIATIONS, NoVariation, choose, with_options, write
from collector.simulator.odd.variation import Draft, Variation, is_marked

__all__ = ["VARIATIONS", "Draft", "NoVariation", "Variation", "choose", "is_marked", "listing", "with_options", "write"]

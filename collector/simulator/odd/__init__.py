"""Variations: forms in which the real API may send the same data.

A variation never changes a value. Only the form of the answer is unusual.
"""

from collector.simulator.odd.table import VARIATIONS, NoVariation, choose, listing, with_options, write
from collector.simulator.odd.variation import Draft, Variation, is_marked

__all__ = ["VARIATIONS", "Draft", "NoVariation", "Variation", "choose", "is_marked", "listing", "with_options", "write"]

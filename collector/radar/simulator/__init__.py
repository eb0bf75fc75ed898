"""A local stand-in of the Radar API: a real server that speaks its contract, for the demo, the tests and trying."""

from collector.radar.parameters import Asked, Question
from collector.radar.refusals import BAD_REQUEST, TOO_COSTLY, URI_TOO_LONG, Refusal
from collector.radar.simulator import faults
from collector.radar.simulator.changes import Change, Hole, Renormalized, Revised, Withdrawn
from collector.radar.simulator.faults import Fault
from collector.radar.simulator.options import MAX_SPAN, RateLimit, SimulatorOptions
from collector.radar.simulator.received import Received
from collector.radar.simulator.server import serve
from collector.radar.simulator.simulator import Simulator

__all__ = [
    "BAD_REQUEST",
    "MAX_SPAN",
    "TOO_COSTLY",
    "URI_TOO_LONG",
    "Asked",
    "Change",
    "Fault",
    "Hole",
    "Question",
    "RateLimit",
    "Received",
    "Refusal",
    "Renormalized",
    "Revised",
    "Simulator",
    "SimulatorOptions",
    "Withdrawn",
    "faults",
    "serve",
]
